import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { emptyTree } from '../../kit/owned-files.ts';
import { MOUNT, mount, unmount } from './kernel.ts';

/** A line of mountinfo (proc_pid_mountinfo(5)). */
interface Mounted {
  id: string;
  parent: string;
  /** "major:minor" of the file system. */
  device: string;
  /** The directory of the file system that is seen. */
  root: string;
  /** Where it is seen. */
  point: string;
  /** Of this place: "rw", "nosuid", … */
  options: readonly string[];
  isShared: boolean;
}

/** Every mount of this process's namespace, the last mounted first. */
function mounts(): Mounted[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [id = '', parent = '', device = '', root = '', point = '', options = '', ...rest] = line
        .split(' ')
        .map(plain);
      const isShared = rest.slice(0, rest.indexOf('-')).some((field) => field.startsWith('shared:'));
      return { id, parent, device, root, point, options: options.split(','), isShared };
    })
    .toReversed();
}

/** Blanks and the like are written as octal numbers. */
function plain(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

function isBelow(directory: string): (one: Pick<Mounted, 'point'>) => boolean {
  return ({ point }) => point === directory || point.startsWith(`${directory}/`);
}

/** Mount points at or below a directory (a real path), the last mounted first. */
export function mountsBelow(directory: string): string[] {
  return mounts()
    .filter(isBelow(directory))
    .map(({ point }) => point);
}

/** The options of what is mounted at a place; null where nothing is. */
export function mountOptions(place: string): readonly string[] | null {
  return mounts().find(({ point }) => point === place)?.options ?? null;
}

export async function unmountBelow(directory: string): Promise<void> {
  for (const point of mountsBelow(directory)) await unmount(point);
}

/**
 * Makes a directory a mount of its own: what is mounted below it comes and goes in namespaces too that are made from here on, as those in which
 * engines run, and in none that was made before. Does nothing if it is one.
 */
export function makeSharedMount(directory: string): void {
  const made = mounts().find(({ point }) => point === directory);
  if (made?.isShared) return;
  if (!made) mount(directory, directory, 'none', MOUNT.bind, '');
  mount('none', directory, 'none', MOUNT.private, ''); // else it shares with whoever saw it made
  mount('none', directory, 'none', MOUNT.shared, '');
}

/**
 * Empties a directory of the platform's (a real path) and unmounts there what the platform mounted. A disk or a directory that the operator
 * mounted at or below it is emptied and stays mounted, unless it stands on what the platform mounted. `last`: names in the directory
 * that go when all others are gone; `keep`: that stay. Gives what stays mounted. Throws `still_mounted`.
 */
export async function clearDirectory(
  directory: string,
  { last = [], keep = [] }: { last?: readonly string[]; keep?: readonly string[] } = {},
): Promise<string[]> {
  const all = mounts();
  const own = new Set(all.filter((one) => isBelow(directory)(one) && isOwn(one, all, directory)).map(({ id }) => id));
  const standsOnOwn = ({ parent }: Mounted): boolean => {
    const under = all.find(({ id }) => id === parent);
    return under !== undefined && (own.has(under.id) || standsOnOwn(under));
  };
  for (const one of all.filter(isBelow(directory))) {
    const carried = !own.has(one.id) && standsOnOwn(one);
    if (carried) await emptyTree(one.point, [one.point]);
    if (carried || own.has(one.id)) await unmount(one.point);
  }
  const now = mounts().filter(isBelow(directory));
  const left = now.filter(({ id }) => own.has(id)).map(({ point }) => point);
  if (left.length > 0) throw new CupolaError('still_mounted', `could not unmount ${left.join(', ')}`);
  const staying = now.map(({ point }) => point);
  const kept = keep.map((name) => join(directory, name));
  if (existsSync(directory)) await emptyTree(directory, [...staying, ...kept], last);
  return staying;
}

/** A directory at its own place again (`makeSharedMount`), or an image that lies in the directory (`mountImage`). */
function isOwn(one: Mounted, all: readonly Mounted[], directory: string): boolean {
  const under = all.find(({ id }) => id === one.parent);
  const again =
    under !== undefined &&
    under.device === one.device &&
    join(under.root, relative(under.point, one.point)) === one.root;
  return again || (backingFile(one.device)?.startsWith(`${directory}/`) ?? false);
}

/** The file that a loop device shows; null for other devices. */
function backingFile(device: string): string | null {
  const file = `/sys/dev/block/${device}/loop/backing_file`;
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : null;
}
