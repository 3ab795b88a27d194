import { statfs } from 'node:fs/promises';

/** Of a file system, what is left free unless told; at most `RESERVE_MOST`. */
const RESERVE_SHARE = 0.05;
const RESERVE_MOST = 4 * 1024 ** 3;

/** Sizes of a file system, in bytes. */
export interface DiskSizes {
  total: number;
  free: number;
}

/** Of the file system that a directory lies on. */
export async function diskSizes(directory: string): Promise<DiskSizes> {
  const { blocks, bavail, bsize } = await statfs(directory);
  return { total: blocks * bsize, free: bavail * bsize };
}

/** What of a disk is left to others unless the operator says otherwise: PostgreSQL must never meet its end. */
export function diskReserve({ total }: DiskSizes): number {
  return Math.min(RESERVE_MOST, total * RESERVE_SHARE);
}
