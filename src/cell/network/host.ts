import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../kit/process.ts';
import { cupolaTables } from './nft.ts';
import type { NetworkSettings } from './settings.ts';

const FORWARDING = '/proc/sys/net/ipv4/ip_forward';
const DEFAULT_STATE = '/run/cupola-network';

/** What `restoreHost` must undo; kept once for all cells of the machine, written by the first that changes something. */
type Change = 'ip_forward' | 'gateway';

/** Forwarding on, and the gateway's address on this machine (on `lo`, so that it needs no device type of its own). */
export async function prepareHost(settings: NetworkSettings): Promise<void> {
  if ((await readFile(FORWARDING, 'utf8')).trim() !== '1') {
    await note(settings, 'ip_forward', '0');
    await writeFile(FORWARDING, '1');
  }
  if (!(await hasAddress(settings.gateway))) {
    await note(settings, 'gateway', settings.gateway);
    await run('ip', ['address', 'replace', `${settings.gateway}/32`, 'dev', 'lo']);
  }
}

/** Puts back what was changed, once no cell of this machine needs it any more. */
export async function restoreHost(settings: NetworkSettings): Promise<void> {
  if ((await cupolaTables()).length > 0) return;
  const forwarding = await noted(settings, 'ip_forward');
  if (forwarding !== null) await writeFile(FORWARDING, forwarding);
  const gateway = await noted(settings, 'gateway');
  if (gateway !== null && (await hasAddress(gateway))) {
    await run('ip', ['address', 'delete', `${gateway}/32`, 'dev', 'lo']);
  }
  await rm(stateDirectory(settings), { recursive: true, force: true });
}

async function hasAddress(address: string): Promise<boolean> {
  return (await run('ip', ['-o', '-4', 'address', 'show', 'to', `${address}/32`])).trim() !== '';
}

function stateDirectory(settings: NetworkSettings): string {
  return settings.hostStateDirectory ?? DEFAULT_STATE;
}

async function note(settings: NetworkSettings, change: Change, before: string): Promise<void> {
  await mkdir(stateDirectory(settings), { recursive: true, mode: 0o700 });
  await writeFile(join(stateDirectory(settings), change), before, { flag: 'wx', mode: 0o600 }).catch(() => {
    // Another cell noted what was there before both.
  });
}

async function noted(settings: NetworkSettings, change: Change): Promise<string | null> {
  return readFile(join(stateDirectory(settings), change), 'utf8').catch(() => null);
}
