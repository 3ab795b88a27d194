import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CupolaError, codeOf } from '../../kit/errors.ts';
import { waitForLockFile } from '../../kit/lock.ts';
import { makeDirectory, realDirectory, replaceFile } from '../../kit/owned-files.ts';
import { DEFAULT_DATA_DIRECTORY, installationId } from '../layout.ts';
import { supervisorCommandOf } from '../program.ts';
import type { PlatformSettings } from '../settings/schema.ts';
import { loadSettings } from '../settings/store.ts';
import { changing } from './changing.ts';
import { UNITS, unitName } from './systemd.ts';

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

/** Notes where a reboot leaves it that the machine has this installation. Throws `id_taken` as `requireOwnId`, and `not_writable`. */
export function noteInstallation({ id, dataDirectory }: Noted, places = PLACES): void {
  requireOwnId({ id, dataDirectory }, places);
  const { notes, run } = places;
  changing(notes, () => {
    makeDirectory(notes, { mode: 0o755 });
    replaceFile(join(notes, id), `${dataDirectory}\n`, { mode: 0o644 });
  });
  rmSync(join(run, `cupola-${id}`, GOING), { force: true });
}

/**
 * An id names processes, containers and accounts, and is another installation's too where a data directory was copied, or where three
 * letters come of two paths. Throws `id_taken` where the machine knows it as another data directory's.
 */
export function requireOwnId({ id, dataDirectory }: Noted, places = PLACES): void {
  const other = claims(id, places).find(({ data }) => withoutLinks(data) !== withoutLinks(dataDirectory));
  if (other === undefined) return;
  const advice = existsSync(join(other.data, 'settings.json'))
    ? `a new installation takes another --data; a copy is not run beside the original: destroy or move away ${other.data} first, or delete the copy`
    : `where it was moved or restored to ${dataDirectory}, delete ${other.place} and call this again; where the disk of ${other.data} is not mounted, mount it`;
  const message = `nothing was changed: ${dataDirectory} has the id ${id}, and so has the installation in ${other.data}, as ${other.place} says; ${advice}`;
  throw new CupolaError('id_taken', message);
}

/** It counts no more, though its data is there still: what it shares with others is theirs alone. Throws `not_writable`. */
export function forgetInstallation({ id }: Pick<Noted, 'id'>, { notes, run } = PLACES): void {
  const runDirectory = join(run, `cupola-${id}`);
  if (existsSync(runDirectory)) replaceFile(join(runDirectory, GOING), '', { mode: 0o600 });
  changing(notes, () => {
    rmSync(join(notes, id), { force: true });
    if (existsSync(notes) && readdirSync(notes).length === 0) rmdirSync(notes);
  });
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
  const notes = new Map(noted(places.notes));
  for (const name of namesIn(places.run)) {
    const id = /^cupola-([a-z]{3})$/.exec(name)?.[1];
    if (id === undefined) continue;
    if (existsSync(join(places.run, name, GOING))) {
      going.add(id);
      continue;
    }
    const data = dataOf(join(places.run, name));
    if (data !== null && !existsSync(join(data, 'settings.json'))) gone.add(id);
    else found.set(id, data ?? notes.get(id) ?? join(places.run, name)); // it is being put up just now
  }
  const seen = [...unitsIn(places.units), ...installedIn(places.standard)].filter(([id]) => !going.has(id));
  for (const [id, data] of [...notes, ...seen]) if (!gone.has(id) && !found.has(id)) found.set(id, data);
  return found;
}

/** Whose id it is, by all that root has left of it; not by a run directory whose data is gone. */
function claims(id: string, places: InstallationPlaces): { data: string; place: string }[] {
  const run = join(places.run, `cupola-${id}`);
  const ran = dataOf(run);
  const seen = (found: readonly [id: string, data: string][], place: (data: string) => string) =>
    found.flatMap(([of, data]) => (of === id ? [{ data, place: place(data) }] : []));
  return [
    ...seen(noted(places.notes), () => join(places.notes, id)),
    ...(ran !== null && existsSync(join(ran, 'settings.json')) ? [{ data: ran, place: supervisorCommandOf(run) }] : []),
    ...seen(unitsIn(places.units), () => join(places.units, unitName({ id }))),
    ...seen(installedIn(places.standard), (data) => join(data, 'settings.json')),
  ];
}

/** An earlier version wrote down the links. */
function withoutLinks(directory: string): string {
  try {
    return realDirectory(directory);
  } catch {
    return directory;
  }
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
