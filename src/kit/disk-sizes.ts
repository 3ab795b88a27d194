import { statfs } from 'node:fs/promises';

/** Sizes of a file system, in bytes. */
export interface DiskSizes {
  total: number;
  free: number;
}

/** How many bytes of a file system are to be left free. */
export type DiskReserve = (sizes: DiskSizes) => number;

/** Of the file system that a directory lies on. */
export async function diskSizes(directory: string): Promise<DiskSizes> {
  const { blocks, bavail, bsize } = await statfs(directory);
  return { total: blocks * bsize, free: bavail * bsize };
}

/** Whether the file system that a directory lies on has more free than its reserve. */
export async function hasMoreThan(reserve: DiskReserve, directory: string): Promise<boolean> {
  const sizes = await diskSizes(directory);
  return sizes.free > reserve(sizes);
}
