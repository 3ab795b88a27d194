import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CupolaError, messageOf } from './errors.ts';
import { makeDirectory } from './owned-files.ts';
import { PLAIN_ENVIRONMENT, type RunOptions, run } from './process.ts';

/*
 * The engines' programs come from an image: a tree with their packages, which stands in the place of /usr in a mount namespace of their
 * own. A file keeps that namespace ("pinned"), and who runs an engine enters it first. All else of the machine is seen there as it is.
 */

/** What runs an engine from an image. */
export interface EngineTree {
  /** Holds the namespace. */
  pin: string;
  /** The image's root file system. */
  root: string;
}

let entered: EngineTree | null = null;

/** From here on this process finds engines there; null: where the machine has them. */
export function useEngines(tree: EngineTree | null): void {
  entered = tree;
}

/** The program and the arguments that run an engine. */
export function engineCommand(command: string, args: readonly string[], cwd?: string): [string, ...string[]] {
  if (entered === null) return [command, ...args];
  const place = cwd === undefined ? [] : [`--wdns=${cwd}`];
  return ['nsenter', `--mount=${entered.pin}`, ...place, '--', command, ...args];
}

/** As `run`, of an engine's program or what comes with it. */
export function runEngine(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return run(command, args, entered === null ? options : { ...options, within: entered.pin });
}

/** Where a program lies for whoever is within. Throws `engine_missing`. */
export function enginePath(name: string): string {
  const paths = PLAIN_ENVIRONMENT['PATH']!.split(':').map((directory) => join(directory, name));
  const path = paths.find((one) => existsSync(engineFile(one)));
  if (path === undefined) throw new CupolaError('engine_missing', `${name} is not installed`);
  return path;
}

/** Where this process, which is not within, reads a file of the engines' packages. */
export function engineFile(path: string): string {
  return entered === null ? path : join(entered.root, path);
}

/**
 * A namespace has, and holds, all that was mounted when it was made. Here that is all but what is mounted for containers, at once or below, and
 * other namespaces of engines. What is told to stay, stays; what comes and goes there later comes and goes here too, where it is shared
 * (`makeSharedMount`). The list is read before it is changed.
 */
const MAKE = `usr=$1
shift
mounted=$(cat /proc/self/mountinfo)
gone=/nothing
while read -r _ _ _ _ point _; do
  point=$(printf %b "$point")
  case $point in
    "$gone"/*) continue ;;
    /run/cupola-*/cell-* | /run/cupola-*/engines* | */cells/cell-*/garden) ;;
    *) continue ;;
  esac
  for kept in "$@"; do
    case $point in "$kept" | "$kept"/*) continue 2 ;; esac
  done
  umount --lazy "$point" 2>/dev/null || continue
  gone=$point
done <<END
$mounted
END
mount --bind "$usr" /usr
# The machine's list of libraries is of its own /usr and can name others before those.
[ ! -e /etc/ld.so.cache ] || mount --bind /dev/null /etc/ld.so.cache
exec mount -o remount,bind,ro,nosuid,nodev /usr`;

/**
 * Makes a namespace in which the tree's /usr is the machine's, and pins it to a file in a directory that holds nothing else. `keep`: what is mounted
 * there or below stays, of all that is mounted for containers. Throws `command_failed`.
 */
export async function pinEngines({ pin, root }: EngineTree, keep: readonly string[] = []): Promise<void> {
  const directory = makeDirectory(dirname(pin), { mode: 0o700 });
  // The kernel keeps a namespace nowhere that others would get to see it.
  await run('sh', ['-c', 'mountpoint -q "$1" || mount --bind "$1" "$1"; mount --make-private "$1"', 'sh', directory], {
    showWords: true,
  });
  await unpin(pin);
  writeFileSync(pin, '', { mode: 0o600 });
  try {
    await onSomeProcessor([
      ...['unshare', `--mount=${pin}`, '--propagation', 'slave'],
      ...['sh', '-ec', MAKE, 'sh', join(root, 'usr'), ...keep],
    ]);
  } catch (error) {
    await unpin(pin);
    throw error;
  }
}

/**
 * A namespace can be kept only by an older one, and Linux goes by numbers (6.18: of each processor its own), so that one made on another
 * processor than this process's own may pass for older: it is tried on each.
 */
async function onSomeProcessor([program = '', ...words]: readonly string[]): Promise<void> {
  const tries = [[], ...ownProcessors().map((number) => ['taskset', '-c', String(number)])];
  for (const [at, before] of tries.entries()) {
    const [first = '', ...rest] = [...before, program, ...words];
    try {
      await run(first, rest, { showWords: true });
      return;
    } catch (error) {
      if (at === tries.length - 1 || !messageOf(error).includes('/ns/mnt')) throw error;
    }
  }
}

/** Those that this process may run on, proc(5). */
function ownProcessors(): number[] {
  const [, list = ''] = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last! - first! + 1 }, (_, at) => first! + at);
  });
}

/** What runs within goes on there. Fine where nothing is pinned. */
async function unpin(pin: string): Promise<void> {
  if (!existsSync(pin)) return;
  await run('umount', ['--lazy', pin]).catch(() => {}); // it was not mounted yet
  rmSync(pin, { force: true });
}

/** Unpins all of one owner but the one it uses now: `<owner>.<anything>` beside it. */
export async function unpinOthers(pin: string, owner: string): Promise<void> {
  const directory = dirname(pin);
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    const path = join(directory, name);
    if (name.startsWith(`${owner}.`) && path !== pin) await unpin(path);
  }
}

/** Unpins all in a directory, and takes it away. */
export async function unpinAll(directory: string): Promise<void> {
  if (!existsSync(directory)) return;
  for (const name of readdirSync(directory)) await unpin(join(directory, name));
  await run('umount', ['--lazy', directory]).catch(() => {}); // nothing was ever pinned
  rmdirSync(directory);
}
