import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../kit/process.ts';
import { cupolaTables } from './nft.ts';
import type { NetworkSettings } from './settings.ts';

const FORWARDING = '/proc/sys/net/ipv4/ip_forward';
const DEFAULT_STATE = '/run/cupola-network';

/** Files of what `restoreHost` must undo; kept once for all cells of the machine, written by the first that changes something. */
type Change = 'ip_forward' | `address-${string}`;

/** Forwarding on, and the addresses a cell needs on this machine (on `lo`, so that they need no device type of their own). */
export async function prepareHost(settings: NetworkSettings): Promise<void> {
  if ((await readFile(FORWARDING, 'utf8')).trim() !== '1') {
    await note(stateDirectory(settings), 'ip_forward', '0');
    await writeFile(FORWARDING, '1');
  }
  for (const address of [settings.gateway, settings.router?.address, settings.cellAddress]) {
    if (address !== undefined) await ensureAddress(address, stateDirectory(settings));
  }
}

/** Puts an address on `lo` unless the machine has it, and notes it for the last cell to take away. */
export async function ensureAddress(address: string, noteDirectory = DEFAULT_STATE): Promise<void> {
  if (await hasAddress(address)) return;
  await note(noteDirectory, `address-${address}`, '');
  await run('ip', ['address', 'replace', `${address}/32`, 'dev', 'lo']);
}

/** Fine if the machine has not got it. */
export async function removeAddress(address: string): Promise<void> {
  if (await hasAddress(address)) await run('ip', ['address', 'delete', `${address}/32`, 'dev', 'lo']);
}

/** Puts back what was changed, once no cell of this machine needs it any more. */
export async function restoreHost(settings: NetworkSettings): Promise<void> {
  if ((await cupolaTables()).length > 0) return;
  const directory = stateDirectory(settings);
  const forwarding = await readFile(join(directory, 'ip_forward'), 'utf8').catch(() => null);
  const changes = await readdir(directory).catch(() => []);
  await rm(directory, { recursive: true, force: true });
  if (forwarding !== null) await writeFile(FORWARDING, forwarding);
  for (const address of changes.flatMap((name) => /^address-([\d.]+)$/.exec(name)?.[1] ?? [])) {
    await removeAddress(address);
  }
  // A cell that started meanwhile put its table in force first, and may have found everything prepared.
  if ((await cupolaTables()).length > 0) await prepareHost(settings);
}

async function hasAddress(address: string): Promise<boolean> {
  return (await run('ip', ['-o', '-4', 'address', 'show', 'to', `${address}/32`])).trim() !== '';
}

function stateDirectory(settings: NetworkSettings): string {
  return settings.hostStateDirectory ?? DEFAULT_STATE;
}

async function note(directory: string, change: Change, before: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(join(directory, change), before, { flag: 'wx', mode: 0o600 }).catch(() => {
    // Another cell noted what was there before both.
  });
}
