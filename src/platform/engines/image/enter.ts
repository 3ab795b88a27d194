import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pinEngines, unpinOthers, useEngines } from '../../../kit/engines.ts';
import { CupolaError } from '../../../kit/errors.ts';
import type { Layout } from '../../layout.ts';
import { chosenImage, type EngineImage, engineImages } from './image.ts';

/**
 * From here on this process runs engines from the image of this version. `owner`: who it is; what it pinned before is let go. Throws
 * `engine_missing` where no image was built, `engine_image_unsafe`.
 */
export async function enterEngineImage(layout: Layout, owner: string): Promise<EngineImage> {
  const image = chosenImage(layout.engines, layout.settings.engineSources);
  if (!image) throw new CupolaError('engine_missing', `there is no image of the engines in ${layout.engines}`);
  await enter(layout, owner, image);
  return image;
}

/** The same with any image that can be used, for whoever takes an installation away; where there is none, with the machine's own engines. */
export async function enterAnyEngineImage(layout: Layout, owner: string): Promise<void> {
  const [image] = await engineImages(layout.engines);
  if (image) await enter(layout, owner, image);
}

/** Whether a supervisor of other code, whose main file this is, finds what runs of an image. */
export function knowsImages(main: string): boolean {
  return existsSync(join(dirname(main), 'engines/image'));
}

async function enter(layout: Layout, owner: string, image: EngineImage): Promise<void> {
  const tree = { pin: layout.enginePinOf(owner), root: image.root };
  await pinEngines(tree);
  useEngines(tree);
  await unpinOthers(tree.pin, owner);
}
