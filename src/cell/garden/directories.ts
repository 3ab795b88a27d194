import { chmod, mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { makeSharedMount } from './mounts.ts';
import type { GardenPaths } from './paths.ts';

/** Makes the garden's directories with their modes. Throws `invalid_settings`. */
export async function prepareDirectories(paths: GardenPaths): Promise<void> {
  await mkdir(paths.root, { recursive: true, mode: 0o700 });
  await chmod(paths.root, 0o700);
  await mkdir(paths.run, { recursive: true, mode: 0o711 });
  await chmod(paths.run, 0o711);
  await refuseHidden(paths.run);
  await mkdir(paths.rootfs, { recursive: true, mode: 0o711 });
  await chmod(paths.rootfs, 0o711);
  for (const directory of [paths.containers, paths.layers, paths.scratch, paths.runcState]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
  }
  // Else every process of the machine with a mount namespace of its own would get, and hold, what is mounted for containers.
  makeSharedMount(paths.root);
  makeSharedMount(paths.run);
}

/** A container's root is an ordinary user of the host, and must be able to walk to its file system. */
async function refuseHidden(directory: string): Promise<void> {
  for (let path = resolve(directory); path !== '/'; path = dirname(path)) {
    if (((await stat(path)).mode & 0o001) === 0) {
      throw new CupolaError('invalid_settings', `the run directory lies below ${path}, which not everybody may enter`);
    }
  }
}
