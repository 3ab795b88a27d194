import { createHash, randomUUID } from 'node:crypto';
import { readFileSync, type Stats } from 'node:fs';
import { link, lstat, mkdir, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CupolaError, codeOf, messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { run } from '../../kit/process.ts';
import { PROJECT } from '../../kit/project.js';
import { buildStack, VERSION_FILE } from './build.ts';
import { releaseOf } from './packages.ts';

export interface StackOptions {
  /** Where `stackHome` puts it. */
  directory: string;
  name: string;
  /** Another such directory, to copy it from where it is built there already. */
  cache?: string;
  log: Logger;
  /** Called with what is done just now, e.g. "Extracting libssl3". */
  onProgress?: (text: string) => void;
}

export interface Stack {
  name: string;
  /** Day of the build and digest of the packages, e.g. "20260131-0a1b2c3d4e5f". */
  version: string;
  rootfs: string;
}

const RECIPE = ['build.ts', 'packages.ts'];
const COPY_LIMIT_MS = 10 * 60_000;
/** Building takes minutes; what lies there longer was left by a build that was killed. */
const ABANDONED_MS = 2 * 60 * 60_000;

/** Of all that decides what is in a stack, except what the distribution has just now. `directory` has the sources of this room. */
export function recipeDigest(directory = join(PROJECT, 'src/cell/stack')): string {
  return createHash('sha256')
    .update(process.arch)
    .update(RECIPE.map((file) => readFileSync(join(directory, file), 'utf8')).join('\0'))
    .digest('hex')
    .slice(0, 12);
}

export const RECIPE_DIGEST = recipeDigest();

/**
 * Where this version of the platform has a stack: beside those of other versions, since containers stand on the one they were
 * made with, and an upgrade may be taken back.
 */
export function stackHome(directory: string, name: string): string {
  return join(directory, `${name}-${RECIPE_DIGEST}`);
}

/** The root file system that containers of a stack stand on. */
export function stackRoot(directory: string, name: string): string {
  return join(stackHome(directory, name), 'rootfs');
}

/** Builds a stack by this version's recipe unless it is there. It appears whole or not at all. Throws `stack_unknown`, `stack_build_failed`. */
export async function ensureStack(options: StackOptions): Promise<Stack> {
  const { directory, name, log } = options;
  const release = releaseOf(name);
  if (!release) throw new CupolaError('stack_unknown', `there is no stack "${name}"`);
  const home = stackHome(directory, name);
  const present = await usedStack(home, name);
  if (present) return present;

  await mkdir(directory, { recursive: true, mode: 0o755 });
  await removeAbandoned(directory);
  const building = join(directory, `.${name}.building-${randomUUID()}`);
  const progress = options.onProgress ?? (() => {});
  const began = Date.now();
  try {
    await mkdir(building, { mode: 0o755 });
    const cached = options.cache === undefined ? null : stackHome(options.cache, name);
    if (cached !== null && (await usedStack(cached, name))) {
      progress(`Copying ${name} from ${options.cache}`);
      await copyStack(cached, building, log);
    } else {
      await mkdir(join(building, 'rootfs'), { mode: 0o755 });
      await buildStack(join(building, 'rootfs'), name, release, progress);
    }
    await rename(building, home).catch(async (error: unknown) => {
      if (!(await usedStack(home, name))) throw error; // else another process was faster
    });
  } catch (cause) {
    throw new CupolaError('stack_build_failed', `the stack ${name} could not be built`, { cause });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  const stack = await usedStack(home, name);
  if (!stack) throw new CupolaError('stack_build_failed', `the stack ${name} has no version`);
  log.info('stack built', { stack: stack.name, version: stack.version, milliseconds: Date.now() - began });
  return stack;
}

/**
 * Removes stacks of other recipes that nobody asked for in that time, and what killed builds left. No container may stand on
 * them. Gives their names.
 */
export async function removeOldStacks(directory: string, name: string, unusedMs = 0): Promise<string[]> {
  await removeAbandoned(directory);
  const home = stackHome(directory, name);
  const old: string[] = [];
  for (const entry of await readdir(directory).catch(() => [])) {
    const path = join(directory, entry);
    const isStack =
      entry === name || (entry.startsWith(`${name}-`) && /^[0-9a-f]{12}$/.test(entry.slice(name.length + 1)));
    if (!isStack || path === home) continue;
    const found = await stat(path).catch(() => null); // another process may have taken it away
    if (!found || Date.now() - found.mtimeMs < unusedMs) continue;
    // Out of sight first: whoever looks for it finds all of it or nothing.
    const doomed = join(directory, `.${entry}.gone-${randomUUID()}`);
    if (!(await renamed(path, doomed))) continue; // another process was faster
    await rm(doomed, { recursive: true, force: true });
    old.push(entry);
  }
  return old;
}

/** False where it is not there any more. */
async function renamed(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/**
 * Puts what is in a stack into the directory of another. Nobody writes to a stack, so both have the same files where that can be, and
 * where nobody but root can change them over there.
 */
async function copyStack(from: string, to: string, log: Logger): Promise<void> {
  const copy = (how: string) =>
    run('cp', ['-a', how, '--', join(from, 'rootfs'), to], { timeoutMs: COPY_LIMIT_MS, showWords: true });
  if ((await isRootsAlone(from)) && (await canLink(from, to))) {
    try {
      await copy('--link');
      return;
    } catch (error) {
      if (codeOf(error) === 'command_timeout') throw error;
      // A file has as many names as it can have, or lies on another file system.
      log.warn('a stack is copied, since it could not be shared', { error: messageOf(error) });
      await rm(join(to, 'rootfs'), { recursive: true, force: true });
    }
  }
  await copy('--reflink=auto');
}

/**
 * Whether nobody but root can write to the directories of a stack, or come to it at all: some of a stack's own, as /tmp, are for
 * everybody to write to.
 */
async function isRootsAlone(home: string): Promise<boolean> {
  const [above, ...own] = await Promise.all([dirname(home), home, join(home, 'rootfs')].map((path) => lstat(path)));
  const isRoots = (one: Stats, others: number) => one.isDirectory() && one.uid === 0 && (one.mode & others) === 0;
  return isRoots(above!, 0o077) && own.every((one) => isRoots(one, 0o022));
}

/** False between file systems, and between mounts of one: `cp` would complain of every file. */
async function canLink(from: string, to: string): Promise<boolean> {
  const probe = join(to, 'probe');
  try {
    await link(join(from, 'rootfs', VERSION_FILE), probe);
    return true;
  } catch {
    return false;
  } finally {
    await rm(probe, { force: true });
  }
}

/** A stack that is there; notes that it is in use. */
async function usedStack(home: string, name: string): Promise<Stack | null> {
  const rootfs = join(home, 'rootfs');
  const text = await readFile(join(rootfs, VERSION_FILE), 'utf8').catch(() => null);
  const version = /^version=(\S+)$/m.exec(text ?? '')?.[1];
  if (version === undefined) return null;
  const now = new Date();
  await utimes(home, now, now).catch(() => {}); // a cache that is read only is nobody's to clean up
  return { name, version, rootfs };
}

async function removeAbandoned(directory: string): Promise<void> {
  for (const entry of await readdir(directory).catch(() => [])) {
    if (!/^\..+\.(building|gone)-/.test(entry)) continue;
    const path = join(directory, entry);
    const found = await stat(path).catch(() => null);
    if (found && Date.now() - found.mtimeMs > ABANDONED_MS) await rm(path, { recursive: true, force: true });
  }
}
