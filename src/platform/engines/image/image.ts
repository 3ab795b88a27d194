import { createHash, randomUUID } from 'node:crypto';
import { lstatSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import Type, { type Static } from 'typebox';
import { readCheckedFile } from '../../../kit/checked.ts';
import { CupolaError, codeOf } from '../../../kit/errors.ts';
import type { Logger } from '../../../kit/log.ts';
import { replaceFile } from '../../../kit/owned-files.ts';
import { PROJECT } from '../../../kit/project.js';
import { shareTree } from '../../../kit/shared-tree.ts';
import { ImageSource } from './build.ts';

const RECIPE = ['build.ts', 'packages.ts'];
const LIST = 'packages.json';
const TREE = 'rootfs';
/** Of images, and of what says which is used. */
const NAMES = /^[0-9a-f]{12}(\.json)?$/;
/** Building takes less than a minute; what lies there longer was left by a build that was killed. */
const ABANDONED_MS = 2 * 60 * 60_000;

const Package = Type.Object({
  name: Type.String(),
  version: Type.String(),
  architecture: Type.String(),
  source: Type.Optional(Type.String()),
});
const List = Type.Object({
  /** The image's name: the digest of names, versions and recipe. */
  digest: Type.String({ pattern: '^[0-9a-f]{12}$' }),
  made: Type.String(),
  packages: Type.Array(Package),
});

/** Which image this version of the platform uses, and which it used before. */
const Choice = Type.Object({
  image: Type.String({ pattern: '^[0-9a-f]{12}$' }),
  former: Type.Union([Type.String({ pattern: '^[0-9a-f]{12}$' }), Type.Null()]),
});
type Choice = Static<typeof Choice>;

/** The engines as a tree, named by what is in it. */
export interface EngineImage extends Static<typeof List> {
  /** Its /usr takes the place of the machine's for whoever runs an engine. */
  root: string;
}

export interface ImageOptions {
  /** Of all images of an installation. */
  directory: string;
  /** Lines of the operator's for apt, in place of Debian's testing. */
  sources?: readonly string[] | undefined;
  /** Another such directory, to take the image from where it is there already. */
  cache?: string | undefined;
  log: Logger;
  /** Called with what is done just now. */
  onProgress?: (text: string) => void;
}

/** Of all that decides what is in an image, except what the distribution has just now. */
export function recipeDigest(sources: readonly string[] = []): string {
  const texts = RECIPE.map((file) => readFileSync(join(PROJECT, 'src/platform/engines/image', file), 'utf8'));
  return createHash('sha256')
    .update([process.arch, ...texts, ...sources].join('\0'))
    .digest('hex')
    .slice(0, 12);
}

/**
 * The image of this version of the platform, built where there is none. It appears whole or not at all. Throws `engine_image_failed`,
 * `engine_image_unsafe`.
 */
export async function ensureEngineImage(options: ImageOptions): Promise<EngineImage> {
  const { directory, cache, sources, log } = options;
  const chosen = chosenImage(directory, sources);
  if (chosen) return chosen;
  await prepare(directory);
  const cached = cache === undefined ? null : chosenImage(cache, sources);
  if (cached) {
    options.onProgress?.(`Copying the engines from ${cache}`);
    await placed(options, cached.digest, async (building) => {
      await shareTree(cached.root, building, 'usr/bin/sleep', log);
      replaceFile(join(building, LIST), readFileSync(join(cached.root, '..', LIST), 'utf8'), { mode: 0o644 });
    });
    choose(options, { image: cached.digest, former: null });
    return readImage(directory, cached.digest);
  }
  return (await updateEngineImage(options)).image;
}

/**
 * The image of what the distribution has now, built where there is none, is this version's from here on. The former stays for
 * `rollBackEngineImage`. Throws as `ensureEngineImage`.
 */
export async function updateEngineImage(options: ImageOptions): Promise<{ image: EngineImage; isNew: boolean }> {
  const { directory, sources, log } = options;
  const progress = options.onProgress ?? (() => {});
  await prepare(directory);
  const before = choiceOf(directory, sources);
  progress('Reading the index of the distribution');
  const began = Date.now();
  try {
    const source = await ImageSource.open(sources, recipeDigest(sources));
    try {
      const { digest } = source;
      if (digest === before?.image) return { image: readImage(directory, digest), isNew: false };
      await placed(options, digest, async (building) => {
        const root = join(building, TREE);
        await mkdir(root, { mode: 0o755 });
        const packages = await source.build(root, progress);
        const list = { digest, made: new Date().toISOString(), packages };
        replaceFile(join(building, LIST), `${JSON.stringify(list, null, 2)}\n`, { mode: 0o644 });
      });
      choose(options, { image: digest, former: before?.image ?? null });
      log.info('engine image built', { digest, milliseconds: Date.now() - began });
      return { image: readImage(directory, digest), isNew: true };
    } finally {
      await source.close();
    }
  } catch (cause) {
    if (codeOf(cause) === 'engine_image_unsafe') throw cause;
    throw new CupolaError('engine_image_failed', 'the image of the engines could not be built', { cause });
  }
}

/** The former image is this version's again. Throws `no_former_image`. */
export function rollBackEngineImage(options: Pick<ImageOptions, 'directory' | 'sources'>): EngineImage {
  const choice = choiceOf(options.directory, options.sources);
  if (!choice?.former) throw new CupolaError('no_former_image', 'there is no former image of the engines');
  const image = readImage(options.directory, choice.former);
  choose(options, { image: choice.former, former: choice.image });
  return image;
}

/** The image this version uses; null where there is none yet. Throws `engine_image_unsafe`. */
export function chosenImage(directory: string, sources: readonly string[] | undefined): EngineImage | null {
  const choice = choiceOf(directory, sources);
  return choice === null ? null : readImage(directory, choice.image);
}

/** The name of the one it used before; null where there is none. */
export function formerImage(directory: string, sources: readonly string[] | undefined): string | null {
  return choiceOf(directory, sources)?.former ?? null;
}

/** Removes what this version neither uses nor goes back to. For a platform that is down. Gives the images' names. */
export async function removeOldImages({
  directory,
  sources,
}: Pick<ImageOptions, 'directory' | 'sources'>): Promise<string[]> {
  const choice = choiceOf(directory, sources);
  if (choice === null) return [];
  const kept = [choice.image, choice.former, basename(choiceFile(directory, sources))];
  const old = (await readdir(directory)).filter((name) => NAMES.test(name) && !kept.includes(name));
  for (const name of old) await rm(join(directory, name), { recursive: true, force: true });
  return old.filter((name) => !name.endsWith('.json'));
}

/** Those that are there. */
export async function engineImages(directory: string): Promise<EngineImage[]> {
  const names = await readdir(directory).catch(() => []);
  return names.filter((name) => /^[0-9a-f]{12}$/.test(name)).map((name) => readImage(directory, name));
}

/** Where nobody but root could have put anything. Throws `engine_image_unsafe`. */
function readImage(directory: string, digest: string): EngineImage {
  const home = join(directory, digest);
  const root = join(home, TREE);
  for (const path of [directory, home, root, join(root, 'usr'), join(home, LIST)]) requireRoots(path);
  const list = readCheckedFile(join(home, LIST), List);
  if (list.digest !== digest)
    throw new CupolaError('engine_image_unsafe', `${home} holds another image than its name says`);
  return { ...list, root };
}

function requireRoots(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) throw new CupolaError('engine_image_unsafe', `${path} is missing`);
  // A link's own mode lets everybody write.
  if (found.uid !== process.getuid?.() || (found.mode & 0o022) !== 0)
    throw new CupolaError('engine_image_unsafe', `${path} is not root's alone`);
}

function choiceFile(directory: string, sources: readonly string[] | undefined): string {
  return join(directory, `${recipeDigest(sources)}.json`);
}

function choiceOf(directory: string, sources: readonly string[] | undefined): Choice | null {
  const file = choiceFile(directory, sources);
  if (!lstatSync(file, { throwIfNoEntry: false })) return null;
  requireRoots(directory);
  requireRoots(file);
  const choice = readCheckedFile(file, Choice);
  return lstatSync(join(directory, choice.image), { throwIfNoEntry: false }) ? choice : null;
}

function choose({ directory, sources }: Pick<ImageOptions, 'directory' | 'sources'>, choice: Choice): void {
  replaceFile(choiceFile(directory, sources), `${JSON.stringify(choice)}\n`, { mode: 0o644 });
}

async function prepare(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  requireRoots(directory);
  for (const entry of await readdir(directory)) {
    if (!entry.startsWith('.building-')) continue;
    const path = join(directory, entry);
    const found = await stat(path).catch(() => null);
    if (found && Date.now() - found.mtimeMs > ABANDONED_MS) await rm(path, { recursive: true, force: true });
  }
}

/** What `make` puts into a directory appears under the image's name when it is whole. */
async function placed(
  { directory }: ImageOptions,
  digest: string,
  make: (building: string) => Promise<void>,
): Promise<void> {
  const home = join(directory, digest);
  if (lstatSync(home, { throwIfNoEntry: false })) {
    readImage(directory, digest);
    return;
  }
  const building = join(directory, `.building-${randomUUID()}`);
  try {
    await mkdir(building, { mode: 0o755 });
    await make(building);
    await rename(building, home).catch((error: unknown) => {
      if (!['ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '')) throw error; // another process was faster
    });
  } finally {
    await rm(building, { recursive: true, force: true });
  }
}
