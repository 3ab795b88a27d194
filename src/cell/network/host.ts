import { existsSync, readFileSync } from 'node:fs';
import { readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../kit/errors.ts';
import { lockDirectory } from '../../kit/lock.ts';
import { run } from '../../kit/process.ts';
import {
  FORWARDING_NOTE,
  forgetLinks,
  guardMachine,
  INSTALLATION_NOTE,
  unguardAddress,
  unguardMachine,
  unguardPorts,
} from './machine.ts';
import { cupolaTables } from './nft.ts';
import { type PrivatePort, parsePorts } from './private-ports.ts';
import type { NetworkSettings } from './settings.ts';

const FORWARDING = '/proc/sys/net/ipv4/ip_forward';
export const DEFAULT_STATE = '/run/cupola-network';

/**
 * What is noted for all of the machine, a file each, before it is done; a note goes when what it says is undone, so that whoever is
 * killed in between leaves one that another still undoes. `address`: put on `lo`. `range`: closed (`closeRange`). `installation`: an
 * address or a range that is there until its installation removes it, whatever cells come and go; it says which ports are private for as long.
 */
type Note =
  | typeof FORWARDING_NOTE
  | `address-${string}`
  | `${typeof RANGE_NOTE}${string}`
  | `${typeof INSTALLATION_NOTE}${string}`;
const RANGE_NOTE = 'range-';
/** Behind every other route to the same addresses. */
const LAST = ['metric', '4278198272'];

/**
 * Forwarding on, and the addresses a cell needs on this machine (on `lo`, so that they need no device type of their own), once
 * rules say who may use either. `prefix`: how the cell's links begin.
 */
export async function prepareHost(settings: NetworkSettings, prefix: string): Promise<void> {
  const addresses = [settings.gateway, settings.router?.address, settings.cellAddress].filter(
    (address) => address !== undefined,
  );
  await inTurn(stateDirectory(settings), async (directory) => {
    const forwards = (await readFile(FORWARDING, 'utf8')).trim() === '1';
    if (!forwards) await note(directory, FORWARDING_NOTE);
    await guardMachine(directory, { addresses, prefix });
    if (!forwards) await writeFile(FORWARDING, '1');
    for (const address of addresses) await addAddress(address, directory);
    await closeRange(settings.range, directory);
  });
}

/**
 * Puts an address of an installation on `lo` unless the machine has it, until `removeAddress`. No other machine reaches it there,
 * whoever listens.
 */
export async function ensureAddress(address: string, noteDirectory = DEFAULT_STATE): Promise<void> {
  await inTurn(noteDirectory, async (directory) => {
    await note(directory, `${INSTALLATION_NOTE}${address}`);
    await guardMachine(directory, { addresses: [address] });
    await addAddress(address, directory);
  });
}

/**
 * `ensureAddress` for all addresses of an installation; and closes ports to all accounts but those named, until the installation
 * removes the one of its addresses that keeps them. They are closed again after the machine's firewall was loaded anew, whoever comes
 * by, cell or supervisor. In place of what was said for that address before.
 */
export async function ensureInstallation(
  addresses: readonly string[],
  address: string,
  ports: readonly PrivatePort[],
  noteDirectory = DEFAULT_STATE,
): Promise<void> {
  await inTurn(noteDirectory, async (directory) => {
    const wanted = JSON.stringify(ports);
    const before = portsOf(directory, address);
    if (JSON.stringify(before) !== wanted) await unguardPorts(before);
    for (const one of addresses) await note(directory, `${INSTALLATION_NOTE}${one}`);
    await writeFile(join(directory, `${INSTALLATION_NOTE}${address}`), wanted, { mode: 0o600 });
    await guardMachine(directory, { addresses });
    for (const one of addresses) await addAddress(one, directory);
  });
}

/** Closes the ranges that an installation's containers have their addresses in, until `openRange`. */
export async function closeRanges(ranges: readonly string[], noteDirectory = DEFAULT_STATE): Promise<void> {
  await inTurn(noteDirectory, async (directory) => {
    for (const range of ranges) {
      await note(directory, `${INSTALLATION_NOTE}${rangeNote(range)}`);
      await closeRange(range, directory);
    }
  });
}

function portsOf(directory: string, address: string): PrivatePort[] {
  const file = join(directory, `${INSTALLATION_NOTE}${address}`);
  return existsSync(file) ? parsePorts(readFileSync(file, 'utf8')) : [];
}

async function addAddress(address: string, directory: string): Promise<void> {
  if (await hasAddress(address)) return;
  await note(directory, `address-${address}`);
  await run('ip', ['address', 'replace', `${address}/32`, 'dev', 'lo']);
}

/**
 * What is sent to a container that is not there, or not yet, goes nowhere: by the default route it would leave the machine as it is,
 * and whoever is there could answer as the app. A container's own link is the nearer way to it.
 */
async function closeRange(range: string, directory: string): Promise<void> {
  if (await isClosed(range)) return;
  await note(directory, rangeNote(range));
  await run('ip', ['route', 'replace', 'unreachable', range, ...LAST]);
}

async function isClosed(range: string): Promise<boolean> {
  return (await run('ip', ['-4', 'route', 'show', 'type', 'unreachable', 'exact', range, ...LAST])).trim() !== '';
}

const rangeNote = (range: string) => `${RANGE_NOTE}${range.replace('/', '-')}` as const;

/** Fine if it is not closed. To be called with `removeAddress` for all addresses of an installation, and before it. */
export async function openRange(range: string, noteDirectory = DEFAULT_STATE): Promise<void> {
  await inTurn(noteDirectory, async (directory) => {
    await dropRange(range);
    await forget(directory, `${INSTALLATION_NOTE}${rangeNote(range)}`);
    await forget(directory, rangeNote(range));
  });
}

async function dropRange(range: string): Promise<void> {
  if (await isClosed(range)) await run('ip', ['route', 'delete', 'unreachable', range, ...LAST]);
}

/** Fine if the machine has not got it. With the last one goes what guards them, unless a cell needs it. */
export async function removeAddress(address: string, noteDirectory = DEFAULT_STATE): Promise<void> {
  await inTurn(noteDirectory, async (directory) => {
    await dropAddress(address, portsOf(directory, address));
    await forget(directory, `${INSTALLATION_NOTE}${address}`);
    await forget(directory, `address-${address}`);
    if ((await cupolaTables()).length === 0 && (await notesIn(directory)).length === 0) await unguardMachine();
  });
}

async function dropAddress(address: string, ports: readonly PrivatePort[] = []): Promise<void> {
  if (await hasAddress(address)) await run('ip', ['address', 'delete', `${address}/32`, 'dev', 'lo']);
  await unguardAddress(address, ports);
}

/** Forgets the links of cells that are gone, and puts back what was changed once no cell of this machine needs it any more. */
export async function restoreHost(settings: NetworkSettings): Promise<void> {
  await inTurn(stateDirectory(settings), async (directory) => {
    await forgetLinks();
    // One that starts puts its table in force first, and prepares the host when its turn comes.
    if ((await cupolaTables()).length > 0) return;
    if (existsSync(join(directory, FORWARDING_NOTE))) await writeFile(FORWARDING, '0');
    await forget(directory, FORWARDING_NOTE);
    const notes = await notesIn(directory);
    for (const address of notes.flatMap((name) => /^address-([\d.]+)$/.exec(name)?.[1] ?? [])) {
      if (notes.includes(`${INSTALLATION_NOTE}${address}`)) continue;
      await dropAddress(address);
      await forget(directory, `address-${address}`);
    }
    for (const name of notes.filter((one) => one.startsWith(RANGE_NOTE))) {
      if (notes.includes(`${INSTALLATION_NOTE}${name}`)) continue;
      const range = name.slice(RANGE_NOTE.length).replace('-', '/');
      await dropRange(range);
      await forget(directory, rangeNote(range));
    }
    if ((await notesIn(directory)).length === 0) await unguardMachine();
    else await guardMachine(directory, {}); // without what bounds forwarding
  });
}

/** One at a time on this machine. No directory stays where no note is. */
async function inTurn(directory: string, body: (directory: string) => Promise<void>): Promise<void> {
  using _turn = await lockDirectory(directory);
  try {
    await body(directory);
  } finally {
    await rmdir(directory).catch(ignore('ENOTEMPTY', 'EEXIST'));
  }
}

async function hasAddress(address: string): Promise<boolean> {
  return (await run('ip', ['-o', '-4', 'address', 'show', 'to', `${address}/32`])).trim() !== '';
}

function stateDirectory(settings: NetworkSettings): string {
  return settings.hostStateDirectory ?? DEFAULT_STATE;
}

async function notesIn(directory: string): Promise<string[]> {
  return await readdir(directory);
}

/** Fine where it stands there already: another noted what was there before both. */
async function note(directory: string, what: Note): Promise<void> {
  // What the machine's forwarding was; the version before reads it.
  await writeFile(join(directory, what), what === FORWARDING_NOTE ? '0' : '', { flag: 'wx', mode: 0o600 }).catch(
    ignore('EEXIST'),
  );
}

async function forget(directory: string, what: Note): Promise<void> {
  await rm(join(directory, what), { force: true });
}

function ignore(...codes: string[]): (error: unknown) => void {
  return (error) => {
    if (!codes.includes(codeOf(error) ?? '')) throw error;
  };
}
