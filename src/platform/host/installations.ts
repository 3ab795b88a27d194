import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf } from '../../kit/errors.ts';
import { waitForLockFile } from '../../kit/lock.ts';
import { makeDirectory, replaceFile } from '../../kit/owned-files.ts';
import { DEFAULT_DATA_DIRECTORY, installationId } from '../layout.ts';
import { supervisorCommandOf } from '../program.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { loadSettings } from '../settings/store.ts';
import { UNITS } from './systemd.ts';

/** Where installations of the machine are seen. */
export interface InstallationPlaces {
  /** Run directories; a reboot empties it. */
  run: string;
  /** A note each, beside the accounts that they share: what takes those away takes the notes along. */
  notes: string;
  /** Units, of versions that left no note too. */
  units: string;
  /** The data directory that needs no option. */
  standard: string;
}

const PLACES: InstallationPlaces = {
  run: '/run',
  notes: '/etc/cupola',
  units: UNITS,
  standard: DEFAULT_DATA_DIRECTORY,
};

type Noted = Pick<PlatformSettings, 'id' | 'dataDirectory'>;

/** The version before locked the directory of the notes instead, and takes no turns with this one. */
const LOCK = '/run/cupola-installations.lock';
/** In the run directory of one that is going, from when it counts no more until its data is gone. */
const GOING = 'going';

/**
 * Holds what all installations of the machine share (the accounts, the notes of who needs them, resolv.conf) until it is disposed, by a
 * file that root alone can open: other accounts may read the notes, and could hold those. Leaves no file. Throws `locked`.
 */
export async function lockInstallations(): Promise<Disposable> {
  const lock = await waitForLockFile(LOCK, 'a change of what installations share');
  return { [Symbol.dispose]: () => lock.remove() };
}

/** Notes where a reboot leaves it that the machine has this installation. */
export function noteInstallation({ id, dataDirectory }: Noted, { notes, run } = PLACES): void {
  makeDirectory(notes, { mode: 0o755 });
  replaceFile(join(notes, id), `${dataDirectory}\n`, { mode: 0o644 });
  rmSync(join(run, `cupola-${id}`, GOING), { force: true });
}

/** It counts no more, though its data is there still: what it shares with others is theirs alone. */
export function forgetInstallation({ id }: Pick<Noted, 'id'>, { notes, run } = PLACES): void {
  const runDirectory = join(run, `cupola-${id}`);
  if (existsSync(runDirectory)) replaceFile(join(runDirectory, GOING), '', { mode: 0o600 });
  rmSync(join(notes, id), { force: true });
  if (existsSync(notes) && readdirSync(notes).length === 0) rmdirSync(notes);
}

/**
 * The data directories of the machine's installations, by id, whether they run or not. One that ran since the machine was booted and
 * has no data any more was deleted by hand, or the test that made it was killed: it is none. What a reboot has taken from sight counts
 * until somebody removes its note: its disk may not be mounted yet.
 */
export function installations(places = PLACES): Map<string, string> {
  const gone = new Set<string>();
  const going = new Set<string>();
  const found = new Map<string, string>();
  for (const name of namesIn(places.run)) {
    const id = /^cupola-([a-z]{3})$/.exec(name)?.[1];
    if (id === undefined) continue;
    if (existsSync(join(places.run, name, GOING))) {
      going.add(id);
      continue;
    }
    const data = dataOf(join(places.run, name));
    if (data !== null && !existsSync(join(data, 'settings.json'))) gone.add(id);
    else found.set(id, data ?? join(places.run, name)); // it is being put up just now
  }
  const seen = [...unitsIn(places.units), ...installedIn(places.standard)].filter(([id]) => !going.has(id));
  for (const [id, data] of [...noted(places.notes), ...seen]) if (!gone.has(id) && !found.has(id)) found.set(id, data);
  return found;
}

/** Of a run directory; null before its supervisor was started. */
function dataOf(run: string): string | null {
  const text = ifThere(() => readFileSync(supervisorCommandOf(run), 'utf8'));
  return text === null ? null : (text.split('\n')[2] ?? '');
}

function noted(directory: string): [id: string, data: string][] {
  return namesIn(directory).flatMap((id) => {
    const text = /^[a-z]{3}$/.test(id) ? ifThere(() => readFileSync(join(directory, id), 'utf8')) : null;
    return text === null ? [] : [[id, text.trim()] satisfies [string, string]];
  });
}

function unitsIn(directory: string): [id: string, data: string][] {
  return namesIn(directory).flatMap((name) => {
    const [unit, id = installationId(DEFAULT_DATA_DIRECTORY)] = /^cupola(?:-([a-z]{3}))?\.service$/.exec(name) ?? [];
    if (unit === undefined) return [];
    const text = ifThere(() => readFileSync(join(directory, unit), 'utf8')) ?? '';
    const file = /^ConditionPathExists=(.*)\/settings\.json$/m.exec(text)?.[1];
    return file === undefined ? [] : [[id, file.replaceAll('%%', '%')] satisfies [string, string]];
  });
}

function installedIn(directory: string): [id: string, data: string][] {
  try {
    const id = loadSettings(directory)?.id;
    return id === undefined ? [] : [[id, directory]];
  } catch {
    return [[installationId(directory), directory]]; // what it says cannot be read, and it is there
  }
}

function namesIn(directory: string): string[] {
  return ifThere(() => readdirSync(directory)) ?? [];
}

/** Null where it is not there, or no more: another installation may go at any moment. */
function ifThere<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}
