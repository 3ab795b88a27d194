import { chown, lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CupolaError, codeOf } from '../../kit/errors.ts';
import { readPlainFile } from '../../kit/owned-files.ts';
import type { LayerWhiteouts } from './garden.ts';
import { isOpaque, makeWhiteout, setOpaque } from './kernel.ts';

/** Trees that a user's archive made are walked step by step here: no link in them is ever followed on the host. */

const MOST_TEXT = 1024 * 1024;

/**
 * Makes what a layer takes away from those below it: nobody else changes the tree by now. `owner` is the host's number of
 * root in the layer. Throws `image_invalid` where a link or a file stands in the way or a path is too long, `layer_too_large` where the
 * disk is full, and what `signal` aborts with.
 */
export async function applyWhiteouts(
  root: string,
  whiteouts: LayerWhiteouts,
  owner: number,
  signal: AbortSignal,
): Promise<void> {
  try {
    setOpaque(root, false);
    for (const path of whiteouts.opaque) {
      signal.throwIfAborted();
      setOpaque(await makeDirectories(root, parts(path), owner), true);
    }
    for (const path of whiteouts.removed) {
      signal.throwIfAborted();
      const names = parts(path);
      const directory = await makeDirectories(root, names.slice(0, -1), owner);
      const target = join(directory, names.at(-1) ?? '');
      const found = await lstat(target).catch(() => null);
      // What the layer itself brings stays; of a directory only what lies below goes.
      if (found?.isDirectory()) setOpaque(target, true);
      else if (!found) makeWhiteout(target);
    }
  } catch (error) {
    throw layersFault(error) ?? error;
  }
}

/** What the layer itself is the reason of, as that; null for the rest. */
function layersFault(cause: unknown): CupolaError | null {
  const errno = cause instanceof CupolaError ? cause.fields['errno'] : codeOf(cause);
  if (errno === 'ENAMETOOLONG') return invalid('the name of a whiteout is too long', cause);
  if (errno !== 'ENOSPC') return null;
  return new CupolaError('layer_too_large', 'a layer takes away more than its disk has room for', { cause });
}

/**
 * Removes what the unpacking left outside of the destination. Nobody else changes the tree by now. Throws
 * `archive_refused` where a link or a file took the destination's place, and what `signal` aborts with.
 */
export async function keepOnly(root: string, parts: readonly string[], signal: AbortSignal): Promise<void> {
  let path = root;
  for (const part of parts) {
    for (const name of await readdir(path)) {
      signal.throwIfAborted();
      if (name !== part) await rm(join(path, name), { recursive: true, force: true });
    }
    path = join(path, part);
    const found = await lstat(path).catch(() => null);
    if (!found) return; // an empty archive
    if (!found.isDirectory()) throw new CupolaError('archive_refused', 'the archive replaced its own destination');
  }
}

/** The text of a file seen through layers (lowest first); null where there is none. Throws `image_invalid` for a large one. */
export async function readThrough(trees: readonly string[], path: string): Promise<string | null> {
  for (const tree of trees.toReversed()) {
    const found = await look(tree, parts(path));
    if (found === 'hidden') return null;
    if (found !== 'absent') return readText(found.path);
  }
  return null;
}

/** Where a path leads in one tree: to a file, to nothing, or to something that hides what is below. */
async function look(tree: string, names: readonly string[]): Promise<{ path: string } | 'absent' | 'hidden'> {
  let path = tree;
  let none: 'absent' | 'hidden' = 'absent';
  for (const [index, name] of names.entries()) {
    path = join(path, name);
    const found = await lstat(path).catch(() => null);
    if (!found) return none;
    const last = index === names.length - 1;
    if (last && found.isFile()) return { path };
    if (last || !found.isDirectory()) return 'hidden';
    if (isOpaque(path)) none = 'hidden';
  }
  return none;
}

function readText(path: string): string | null {
  try {
    return readPlainFile(path, MOST_TEXT);
  } catch (cause) {
    throw new CupolaError('image_invalid', 'a file of the image is too large', { cause });
  }
}

async function makeDirectories(root: string, names: readonly string[], owner: number): Promise<string> {
  let path = root;
  for (const name of names) {
    path = join(path, name);
    const found = await lstat(path).catch(() => null);
    if (found?.isDirectory()) continue;
    if (found) throw invalid('a whiteout leads through a link');
    await mkdir(path, { mode: 0o755 });
    await chown(path, owner, owner);
  }
  return path;
}

function invalid(why: string, cause?: unknown): CupolaError {
  return new CupolaError('image_invalid', `a layer of the image is not valid: ${why}`, { cause });
}

function parts(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..')) throw new CupolaError('image_invalid', 'a path leads out of the image');
  return names;
}
