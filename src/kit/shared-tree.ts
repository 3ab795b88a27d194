import type { Stats } from 'node:fs';
import { link, lstat, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf, messageOf } from './errors.ts';
import type { Logger } from './log.ts';
import { run } from './process.ts';

const COPY_LIMIT_MS = 10 * 60_000;

/**
 * Puts a tree that nobody writes to into another directory, under its own name. Both have the same files where that can be, and where nobody
 * but root can change them over there. `probe`: a file in it.
 */
export async function shareTree(tree: string, target: string, probe: string, log: Logger): Promise<void> {
  const copy = (how: string) =>
    run('cp', ['-a', how, '--', tree, target], { timeoutMs: COPY_LIMIT_MS, showWords: true });
  if ((await isRootsAlone(tree)) && (await canLink(join(tree, probe), target))) {
    try {
      await copy('--link');
      return;
    } catch (error) {
      if (codeOf(error) === 'command_timeout') throw error;
      // A file has as many names as it can have, or lies on another file system.
      log.warn('a tree is copied, since it could not be shared', { error: messageOf(error) });
      await rm(join(target, tree.slice(dirname(tree).length + 1)), { recursive: true, force: true });
    }
  }
  await copy('--reflink=auto');
}

/**
 * Whether nobody but root can write to the directories of a tree, or come to it at all: some of its own, as /tmp, are for
 * everybody to write to.
 */
async function isRootsAlone(tree: string): Promise<boolean> {
  const home = dirname(tree);
  const [above, ...own] = await Promise.all([dirname(home), home, tree].map((path) => lstat(path)));
  const isRoots = (one: Stats, others: number) => one.isDirectory() && one.uid === 0 && (one.mode & others) === 0;
  return isRoots(above!, 0o077) && own.every((one) => isRoots(one, 0o022));
}

/** False between file systems, and between mounts of one: `cp` would complain of every file. */
async function canLink(file: string, target: string): Promise<boolean> {
  const probe = join(target, 'probe');
  try {
    await link(file, probe);
    return true;
  } catch {
    return false;
  } finally {
    await rm(probe, { force: true });
  }
}
