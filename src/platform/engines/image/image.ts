import { createHash } from 'node:crypto';
import { lstatSync, readFileSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import Type, { type Static } from 'typebox';
import { readCheckedFile } from '../../../kit/checked.ts';
import type { PackageVersion } from '../../../kit/debian/apt.ts';
import { CupolaError, codeOf, messageOf } from '../../../kit/errors.ts';
import type { Logger } from '../../../kit/log.ts';
import { replaceFile } from '../../../kit/owned-files.ts';
import { run } from '../../../kit/process.ts';
import { PROJECT } from '../../../kit/project.js';
import { shareTree } from '../../../kit/shared-tree.ts';
import { makeWhole, removeUnfinished, removeWhole } from '../../../kit/whole-directory.ts';
import { ImageSource } from './build.ts';
import { aptOptions } from './packages.ts';

const RECIPE = ['build.ts', 'packages.ts'];
const LIST = 'packages.json';
const TREE = 'rootfs';
/** Of the programs that are engines, the packages they come from. */
const ENGINES = /^(haproxy|postgresql-\d+|nats-server|dnsmasq-base|runc|conmon|catatonit)$/;
/** Of images, and of what says which is used. */
const NAMES = /^[0-9a-f]{12}(\.json)?$/;

const Package = Type.Object({
  name: Type.String(),
  version: Type.String(),
  architecture: Type.String(),
  source: Type.Optional(Type.String()),
});
const List = Type.Object({
  /** The image's name: the digest of its recipe and of names and versions. */
  digest: Type.String({ pattern: '^[0-9a-f]{12}$' }),
  made: Type.String(),
  packages: Type.Array(Package),
});

/** Which image this version of the platform uses, and which it used before. */
const Choice = Type.Object({
  image: Type.String({ pattern: '^[0-9a-f]{12}$' }),
  former: Type.Union([Type.String({ pattern: '^[0-9a-f]{12}$' }), Type.Null()]),
});
export type Choice = Static<typeof Choice>;

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
  /** What there is to make one of; the distribution's unless it is given. */
  source?: () => Promise<ImageSource>;
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
    await placed(directory, cached.digest, async (building) => {
      await shareTree(cached.root, building, 'usr/bin/sleep', log);
      replaceFile(join(building, LIST), readFileSync(join(cached.root, '..', LIST), 'utf8'), { mode: 0o644 });
    });
    choose(options, { image: cached.digest, former: null });
    return readImage(directory, cached.digest);
  }
  return updateEngineImage(options);
}

/**
 * The image of what the distribution has now, built where there is none, is this version's from here on. The former stays for
 * `rollBackEngineImage`. Throws as `ensureEngineImage`, and `engine_image_older` where the distribution offers less than this version has: an
 * index of long ago is signed too.
 */
export async function updateEngineImage(options: ImageOptions): Promise<EngineImage> {
  const { directory, sources, log } = options;
  const progress = options.onProgress ?? (() => {});
  await prepare(directory);
  const before = choiceOf(directory, sources);
  progress('Reading the index of the distribution');
  const began = Date.now();
  try {
    const source = await (options.source?.() ?? ImageSource.open(await aptOptions(sources)));
    try {
      const digest = digestOf(source.packages, sources);
      if (digest === before?.image) return readImage(directory, digest);
      if (before) await requireNewer(readImage(directory, before.image), source.packages);
      await placed(directory, digest, async (building) => {
        const root = join(building, TREE);
        await mkdir(root, { mode: 0o755 });
        const packages = await source.build(root, progress);
        const list = { digest, made: new Date().toISOString(), packages };
        replaceFile(join(building, LIST), `${JSON.stringify(list, null, 2)}\n`, { mode: 0o644 });
      });
      choose(options, { image: digest, former: before?.image ?? null });
      log.info('engine image built', { digest, milliseconds: Date.now() - began });
      return readImage(directory, digest);
    } finally {
      await source.close();
    }
  } catch (cause) {
    if (['engine_image_unsafe', 'engine_image_older'].includes(codeOf(cause) ?? '')) throw cause;
    throw new CupolaError('engine_image_failed', 'the image of the engines could not be built', { cause });
  }
}

/** The name of an image of these packages, as this version makes it. */
function digestOf(packages: readonly PackageVersion[], sources: readonly string[] | undefined): string {
  const lines = packages.map(({ name, version }) => `${name} ${version}\n`).sort();
  return createHash('sha256').update(recipeDigest(sources)).update(lines.join('')).digest('hex').slice(0, 12);
}

async function requireNewer(present: EngineImage, offered: readonly PackageVersion[]): Promise<void> {
  const versions = new Map(present.packages.map(({ name, version }) => [name, version]));
  for (const { name, version } of offered) {
    const has = versions.get(name) ?? version;
    if (has !== version && (await isOlder(version, has)))
      throw new CupolaError('engine_image_older', `the distribution offers ${name} ${version}; ${has} is in use`);
  }
}

async function isOlder(version: string, than: string): Promise<boolean> {
  try {
    await run('dpkg', ['--compare-versions', version, 'lt', than]);
    return true;
  } catch (error) {
    if (codeOf(error) === 'command_failed') return false; // that is how it says no
    throw error;
  }
}

/** These are this version's from here on. Throws `engine_image_unsafe`. */
export function chooseEngineImage(options: Pick<ImageOptions, 'directory' | 'sources'>, choice: Choice): EngineImage {
  const image = readImage(options.directory, choice.image);
  choose(options, choice);
  return image;
}

/** The former image is this version's again. Throws `no_former_image`. */
export function rollBackEngineImage(options: Pick<ImageOptions, 'directory' | 'sources'>): EngineImage {
  const choice = choiceOf(options.directory, options.sources);
  if (!choice?.former) throw new CupolaError('no_former_image', 'there is no former image of the engines');
  return chooseEngineImage(options, { image: choice.former, former: choice.image });
}

/** The image this version uses; null where there is none yet. Throws `engine_image_unsafe`. */
export function chosenImage(directory: string, sources: readonly string[] | undefined): EngineImage | null {
  const choice = choiceOf(directory, sources);
  return choice === null ? null : readImage(directory, choice.image);
}

/**
 * Removes what this version neither uses nor goes back to, but for images whose root directory `isNeeded`. For a platform that is down.
 * Gives the images' names.
 */
export async function removeOldImages(
  { directory, sources }: Pick<ImageOptions, 'directory' | 'sources'>,
  isNeeded: (root: string) => boolean = () => false,
): Promise<string[]> {
  const choice = choiceOf(directory, sources);
  if (choice === null) return [];
  const kept = [choice.image, choice.former, basename(choiceFile(directory, sources))];
  const isOld = (name: string): boolean =>
    NAMES.test(name) && !kept.includes(name) && !isNeeded(join(directory, name, TREE));
  const old = (await readdir(directory)).filter(isOld);
  for (const name of old) await removeWhole(join(directory, name));
  return old.filter((name) => !name.endsWith('.json'));
}

/** Those that are there and can be used. `onDamaged` hears the name of any other, and why. */
export async function engineImages(
  directory: string,
  onDamaged: (digest: string, problem: string) => void = () => {},
): Promise<EngineImage[]> {
  const names = await readdir(directory).catch(() => []);
  return names
    .filter((name) => /^[0-9a-f]{12}$/.test(name))
    .flatMap((name) => {
      try {
        return [readImage(directory, name)];
      } catch (error) {
        onDamaged(name, messageOf(error));
        return [];
      }
    });
}

/** Of its packages those that the engines come from; the others are what these need. */
export function enginesOf({ packages }: EngineImage): EngineImage['packages'] {
  return packages.filter(({ name }) => ENGINES.test(name));
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

/** What this version uses; null where its image was not made yet. Throws `engine_image_unsafe`. */
export function choiceOf(directory: string, sources: readonly string[] | undefined): Choice | null {
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
  await removeUnfinished(directory);
}

/** What `make` puts into a directory appears under the image's name when it is whole. */
async function placed(directory: string, digest: string, make: (building: string) => Promise<void>): Promise<void> {
  const home = join(directory, digest);
  if (lstatSync(home, { throwIfNoEntry: false })) readImage(directory, digest);
  else await makeWhole(home, make);
}
