import { existsSync, readFileSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { mountsBelow, unmountBelow } from '../cell/garden/mounts.ts';
import { teardownGarden } from '../cell/garden/teardown.ts';
import { removeAddress } from '../cell/network/host.ts';
import { CupolaError } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import { type ProcessIdentity, terminate } from '../kit/process.ts';
import { ownAddresses } from './addresses.ts';
import { gardenSettingsOf } from './cell-settings.ts';
import { removeAccounts } from './host/accounts.ts';
import { removeResolver } from './host/names.ts';
import { removeSystemTrust } from './host/system-trust.ts';
import { uninstallUnit } from './host/systemd.ts';
import { layoutOf, loadSettings, type PlatformSettings } from './settings.ts';

/**
 * Removes everything this installation made on the machine: processes, containers, mounts, links, packet filter tables, cgroups,
 * resolver changes, accounts, data. A key file the operator brought stays: other things may be sealed under it. The supervisor must be down. Throws `not_an_installation`, and `still_mounted` before
 * anything is deleted through a mount.
 */
export async function teardownPlatform(settings: PlatformSettings, log: Logger): Promise<void> {
  const { dataDirectory } = settings;
  if (loadSettings(dataDirectory)?.id !== settings.id || dirname(resolve(dataDirectory)) === resolve(dataDirectory)) {
    throw new CupolaError('not_an_installation', `${dataDirectory} holds no installation`);
  }
  const layout = layoutOf(settings);
  await Promise.all(recordedProcesses(layout.processesFile).map((identity) => terminate(identity)));
  for (let index = 0; index < settings.cells; index++) await teardownGarden(gardenSettingsOf(layout, index, log));
  for (const address of ownAddresses(settings)) await removeAddress(address);
  await uninstallUnit(settings);
  await removeSystemTrust(settings);
  removeResolver(settings);
  await removeTree(layout.run);
  await removeAccounts(settings);
  await removeData(dataDirectory);
}

/** The settings go last: until then an interrupted destroy can be called again. */
async function removeData(directory: string): Promise<void> {
  await emptied(directory);
  for (const name of await readdir(directory)) {
    if (name !== 'settings.json') await rm(join(directory, name), { recursive: true, force: true });
  }
  await rm(directory, { recursive: true, force: true });
}

async function removeTree(directory: string): Promise<void> {
  await emptied(directory);
  await rm(directory, { recursive: true, force: true });
}

/** Nothing is mounted below any more: the run directory shows the project itself, which must never be deleted through it. */
async function emptied(directory: string): Promise<void> {
  await unmountBelow(directory);
  const left = mountsBelow(directory);
  if (left.length > 0) throw new CupolaError('still_mounted', `could not unmount ${left.join(', ')}`);
}

function recordedProcesses(file: string): ProcessIdentity[] {
  if (!existsSync(file)) return [];
  return Object.values(JSON.parse(readFileSync(file, 'utf8')) as Record<string, ProcessIdentity>);
}
