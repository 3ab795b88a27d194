import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { PROJECT } from '../../kit/project.js';
import { shareTree } from '../../kit/shared-tree.ts';
import { makeWhole, removeUnfinished, removeWhole } from '../../kit/whole-directory.ts';
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
  await removeUnfinished(directory);
  const progress = options.onProgress ?? (() => {});
  const began = Date.now();
  try {
    await makeWhole(home, async (building) => {
      const cached = options.cache === undefined ? null : stackHome(options.cache, name);
      if (cached !== null && (await usedStack(cached, name))) {
        progress(`Copying ${name} from ${options.cache}`);
        await shareTree(join(cached, 'rootfs'), building, VERSION_FILE, log);
      } else {
        await mkdir(join(building, 'rootfs'), { mode: 0o755 });
        await buildStack(join(building, 'rootfs'), name, release, progress);
      }
    });
  } catch (cause) {
    throw new CupolaError('stack_build_failed', `the stack ${name} could not be built`, { cause });
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
  await removeUnfinished(directory);
  const home = stackHome(directory, name);
  const old: string[] = [];
  for (const entry of await readdir(directory).catch(() => [])) {
    const path = join(directory, entry);
    const isStack =
      entry === name || (entry.startsWith(`${name}-`) && /^[0-9a-f]{12}$/.test(entry.slice(name.length + 1)));
    if (!isStack || path === home) continue;
    const found = await stat(path).catch(() => null); // another process may have taken it away
    if (!found || Date.now() - found.mtimeMs < unusedMs) continue;
    if (await removeWhole(path)) old.push(entry);
  }
  return old;
}

/** Every stack that is there, this version's (`isCurrent`) and those of before an upgrade; it notes nothing. */
export async function builtStacks(directory: string): Promise<(Stack & { isCurrent: boolean })[]> {
  const names = await readdir(directory).catch(() => []);
  const found = names.sort().map(async (entry) => {
    const [, name, recipe] = /^([a-z0-9]+)-([0-9a-f]{12})$/.exec(entry) ?? [];
    const stack = name === undefined ? null : await readStack(join(directory, entry), name);
    return stack && { ...stack, isCurrent: recipe === RECIPE_DIGEST };
  });
  return (await Promise.all(found)).filter((stack) => stack !== null);
}

/** A stack that is there; notes that it is in use. */
async function usedStack(home: string, name: string): Promise<Stack | null> {
  const stack = await readStack(home, name);
  const now = new Date();
  if (stack) await utimes(home, now, now).catch(() => {}); // a cache that is read only is nobody's to clean up
  return stack;
}

async function readStack(home: string, name: string): Promise<Stack | null> {
  const rootfs = join(home, 'rootfs');
  const text = await readFile(join(rootfs, VERSION_FILE), 'utf8').catch(() => null);
  const version = /^version=(\S+)$/m.exec(text ?? '')?.[1];
  return version === undefined ? null : { name, version, rootfs };
}
