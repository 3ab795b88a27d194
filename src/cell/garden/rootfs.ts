import { chmod, chown, mkdir, mkdtemp, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { together } from '../../kit/together.ts';
import { bindMapped, MOUNT, mount, unmount } from './kernel.ts';
import type { ContainerPaths } from './paths.ts';

/** A read-only tree and the descriptor of the user namespace that maps its owners into the container's range. */
export interface LowerTree {
  path: string;
  userNamespace: number;
}

/**
 * Mounts an overlay on `mountPoint`: the lower trees (lowest first), each ID-mapped and read-only, below a writable
 * directory on `volume` that belongs to the container's root. The mapped binds are only needed while mounting:
 * overlayfs keeps its own copies.
 */
export async function mountRootFilesystem(options: {
  lowers: readonly LowerTree[];
  volume: string;
  mountPoint: string;
  /** Host uid of the container's root. */
  owner: number;
  scratchDirectory: string;
}): Promise<void> {
  const upper = join(options.volume, 'upper');
  const work = join(options.volume, 'work');
  await mkdir(options.scratchDirectory, { recursive: true, mode: 0o700 });
  const [scratch] = await together([
    mkdtemp(join(options.scratchDirectory, 'l-')),
    mkdir(upper, { mode: 0o755 }),
    mkdir(work, { mode: 0o700 }),
    mkdir(options.mountPoint, { recursive: true }),
  ]);
  await chown(upper, options.owner, options.owner);
  const bound: string[] = [];
  try {
    for (const [index, lower] of options.lowers.entries()) {
      const target = join(scratch, String(index));
      await mkdir(target);
      bindMapped(lower.path, target, lower.userNamespace);
      bound.push(target);
    }
    const lowerdir = bound.toReversed().join(':'); // overlayfs names the uppermost first
    const data = `lowerdir=${lowerdir},upperdir=${upper},workdir=${work},xino=off`;
    mount('overlay', options.mountPoint, 'overlay', MOUNT.nosuid | MOUNT.nodev, data);
  } finally {
    await removeScratch(scratch, bound);
  }
}

/** Only this container's root may walk through; other users of the machine see nothing of it. */
export async function makeGate(files: ContainerPaths, uidBase: number): Promise<void> {
  await mkdir(files.rootfs, { recursive: true, mode: 0o710 });
  await chown(files.gate, 0, uidBase);
  await chmod(files.gate, 0o710);
}

async function removeScratch(scratch: string, bound: readonly string[]): Promise<void> {
  for (const target of bound) {
    await unmount(target);
    await rmdir(target);
  }
  await rm(scratch, { recursive: true, force: true });
}
