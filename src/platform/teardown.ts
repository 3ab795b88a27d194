import { readdir, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { unmount } from '../cell/garden/kernel.ts';
import { clearDirectory, mountsBelow } from '../cell/garden/mounts.ts';
import { CupolaError, messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import { removeTree } from '../kit/owned-files.ts';
import { type ProcessIdentity, terminate } from '../kit/process.ts';
import { enterAnyEngineImage } from './engines/image/enter.ts';
import { endProcesses, removeAccounts } from './host/accounts.ts';
import { removeResolver } from './host/names.ts';
import { removeSystemTrust } from './host/system-trust.ts';
import { uninstallUnit } from './host/systemd.ts';
import { type Layout, layoutOf } from './layout.ts';
import { readProcesses, writeProcesses, writeRestarts } from './processes.ts';
import { supervisorCommandOf, supervisorLockOf } from './program.ts';
import { removeRemains } from './remains.ts';
import { howToFinish, markRemoval, REMOVAL_MARK } from './removal.ts';
import type { PlatformSettings } from './settings/schema.ts';
import { loadSettings } from './settings/store.ts';

/**
 * Removes everything this installation made on the machine: processes, containers, mounts, links, packet filter tables, cgroups,
 * resolver changes, accounts, data. A key file the operator brought stays: other things may be sealed under it. The supervisor must
 * be down, and its lock held. Gives what stays and why, a sentence each. Throws `not_an_installation`, `still_mounted` before anything
 * is deleted through a mount, and `destroy_unfinished` where something of the machine could not be changed: all the rest is gone then,
 * but for the settings, so that it can be called again.
 */
export async function teardownPlatform(settings: PlatformSettings, log: Logger): Promise<string[]> {
  const { dataDirectory } = settings;
  if (loadSettings(dataDirectory)?.id !== settings.id || dirname(dataDirectory) === dataDirectory) {
    throw new CupolaError('not_an_installation', `${dataDirectory} holds no installation`);
  }
  const layout = layoutOf(settings);
  const problems: unknown[] = [];
  const goingOn = <T>(step: Promise<T>): Promise<T | null> =>
    step.catch((error: unknown) => {
      problems.push(error);
      return null;
    });
  await goingOn(uninstallUnit(settings)); // else it starts a supervisor as soon as the lock is gone
  await endRemains(layout, log);
  await goingOn(removeSystemTrust(settings));
  await goingOn(removeResolver(settings));
  // What keeps a supervisor from beginning anew, and tells others that this one goes, stays until the data is gone.
  await removeRun(layout.run, [supervisorLockOf(layout.run), supervisorCommandOf(layout.run)]);
  const accounts = await goingOn(removeAccounts(settings));
  const disks = await removeData(dataDirectory, { forGood: problems.length === 0 });
  if (problems.length > 0) {
    const message = `all is removed but for this: ${problems.map(messageOf).join('; ')}; then ${howToFinish(dataDirectory)}`;
    throw new CupolaError('destroy_unfinished', message);
  }
  await removeRun(layout.run);
  return [...(accounts ?? []), ...disks.map((place) => `${place} was emptied and stays mounted`)];
}

/**
 * Ends what runs of an installation whose supervisor is gone, and takes away what only lasts as long as it runs: containers, addresses,
 * what guarded them. The supervisor's lock must be held. True where something ran. Throws `process_stuck`.
 */
export async function endRemains(layout: Layout, log: Logger): Promise<boolean> {
  const { settings } = layout;
  const running = Object.entries(readProcesses(layout.processesFile));
  // The database once nothing asks it any more; at SIGTERM it would wait for its clients.
  const isDatabase = ([name]: [string, ProcessIdentity]): boolean => name === 'postgresql';
  const clients = running.filter((one) => !isDatabase(one));
  await Promise.all(clients.map(([, identity]) => terminate(identity)));
  await Promise.all(running.filter(isDatabase).map(([, identity]) => terminate(identity, STOP_MS, 'SIGINT')));
  await endProcesses(settings, layout.run);
  await enterAnyEngineImage(layout, 'teardown');
  await removeRemains(layout, log);
  writeProcesses(layout.processesFile, {});
  writeRestarts(layout.restartsFile, {});
  return running.length > 0;
}

const STOP_MS = 15_000;

/**
 * The settings go last, or not at all (`forGood`): until then an interrupted destroy can be called again, and nothing starts. A disk that
 * the operator mounted here, or at a directory below, is emptied and stays mounted: gives those. Throws `still_mounted`.
 */
export async function removeData(directory: string, { forGood = true } = {}): Promise<string[]> {
  const names = [REMOVAL_MARK, 'settings.json'];
  markRemoval(directory);
  const staying = await clearDirectory(directory, forGood ? { last: names } : { keep: names });
  if (!forGood) return staying;
  if (staying.length === 0) await rmdir(directory);
  return staying;
}

/** The run directory shows the project itself, which must never be deleted through it. */
async function removeRun(directory: string, keep: readonly string[] = []): Promise<void> {
  for (const point of mountsBelow(directory)) await unmount(point);
  const left = mountsBelow(directory);
  if (left.length > 0) throw new CupolaError('still_mounted', `could not unmount ${left.join(', ')}`);
  if (keep.length === 0) return removeTree(directory);
  const paths = (await readdir(directory)).map((name) => join(directory, name));
  for (const path of paths) if (!keep.includes(path)) await removeTree(path);
}
