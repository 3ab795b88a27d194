import { join } from 'node:path';
import { mountsBelow } from '../cell/garden/mounts.ts';
import { GardenPaths } from '../cell/garden/paths.ts';
import { ensureStack, removeOldStacks } from '../cell/stack/stack.ts';
import type { Logger } from '../kit/log.ts';
import { type BuildOptions, buildSystemBuildpacks } from './buildpacks/build.ts';
import { gardenSettingsOf } from './cell-settings.ts';
import { chosenImage, ensureEngineImage, removeOldImages } from './engines/image/image.ts';
import { hasProgramsForData } from './former-data.ts';
import type { Layout } from './layout.ts';
import { writeBuildpacks } from './system-buildpacks.ts';

/** The stack every app runs on unless it names another. */
const DEFAULT_STACK = 'debian12';

export interface PrepareOptions {
  layout: Layout;
  log: Logger;
  onProgress: (text: string) => void;
}

/** Builds the stack of this code unless it is there; CUPOLA_STACK_CACHE may name a directory that holds it built. */
export async function prepareStack({ layout, log, onProgress }: PrepareOptions): Promise<void> {
  const directory = layout.stacks;
  const cache = process.env['CUPOLA_STACK_CACHE'];
  await ensureStack({ directory, name: DEFAULT_STACK, ...(cache ? { cache } : {}), log, onProgress });
}

/** Builds the engines' image of this code unless it is there; CUPOLA_ENGINES_CACHE may name a directory that holds it built. */
export async function prepareEngines({ layout, log, onProgress }: PrepareOptions): Promise<void> {
  const { engines: directory, settings } = layout;
  const cache = process.env['CUPOLA_ENGINES_CACHE'];
  await ensureEngineImage({ directory, sources: settings.engineSources, cache: cache || undefined, log, onProgress });
}

/**
 * Stacks and images of the engines, of a platform that is down. What is mounted for a container, whatever became of its cell, still stands
 * on the stack of its time.
 */
export async function removeUnusedTrees({ layout, log }: Pick<PrepareOptions, 'layout' | 'log'>): Promise<void> {
  if (hasContainers(layout, log)) return;
  for (const old of await removeOldStacks(layout.stacks, DEFAULT_STACK)) log.info('old stack removed', { stack: old });
  const images = { directory: layout.engines, sources: layout.settings.engineSources };
  const chosen = chosenImage(images.directory, images.sources);
  const isNeeded = chosen === null ? undefined : hasProgramsForData(layout, chosen.root);
  for (const image of await removeOldImages(images, isNeeded)) log.info('old image of the engines removed', { image });
}

function hasContainers(layout: Layout, log: Logger): boolean {
  return Array.from({ length: layout.settings.cells }, (_, index) => index).some(
    (index) => mountsBelow(new GardenPaths(gardenSettingsOf(layout, index, log)).rootfs).length > 0,
  );
}

/**
 * Builds the system buildpacks that changed (CUPOLA_BUILDPACK_CACHE may name a directory for what is fetched and built, which
 * installations share) and lists them in the data directory's buildpacks.json.
 */
export async function prepareBuildpacks(
  project: string,
  options: PrepareOptions & Pick<BuildOptions, 'onMade'>,
): Promise<void> {
  const { layout, ...told } = options;
  const { dataDirectory } = layout.settings;
  const cache = process.env['CUPOLA_BUILDPACK_CACHE'];
  const built = await buildSystemBuildpacks({
    sourceDirectory: join(project, 'buildpacks'),
    outputDirectory: layout.buildpacks,
    cacheDirectory: cache ?? join(dataDirectory, 'cache'),
    ...(cache ? { sharedDirectory: join(cache, 'built') } : {}),
    stack: DEFAULT_STACK,
    ...told,
  });
  writeBuildpacks(layout, built);
}
