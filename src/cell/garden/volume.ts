import { mkdir, open, statfs } from 'node:fs/promises';
import { runEngine } from '../../kit/engines.ts';
import { together } from '../../kit/together.ts';
import { mountImage, piecesOf } from './kernel.ts';

const MIB = 1024 * 1024;
const INODE_BYTES = 256;
/** What the smallest file with content takes. */
export const BLOCK_BYTES = 4096;

/** A writable file system with a hard bound: an image as `formatImage` makes it, mounted through a loop device. */
export async function createVolume(image: string, mountPoint: string, format: () => Promise<void>): Promise<void> {
  await together([format(), mkdir(mountPoint, { recursive: true, mode: 0o700 })]);
  mountImage(image, mountPoint);
}

/**
 * A sparse ext4 image, for as many files as ext4 finds usual for its size, or as `inodes` says. Without journal, because nothing in it
 * outlives a crash of the machine.
 */
export async function formatImage(image: string, bytes: number, inodes?: number): Promise<void> {
  // Inode tables and bitmaps take some; the user shall have what was asked for.
  const tables = (inodes ?? 0) * INODE_BYTES;
  await makeSparse(image, Math.ceil((bytes * 1.02 + tables) / MIB) * MIB + 4 * MIB);
  await runEngine('mkfs.ext4', [
    '-q',
    '-F',
    '-O',
    '^has_journal',
    '-m',
    '0',
    '-b',
    String(BLOCK_BYTES),
    '-E',
    'nodiscard,root_owner=0:0',
    ...(inodes === undefined ? [] : ['-I', String(INODE_BYTES), '-N', String(inodes)]),
    image,
  ]);
}

/** A copy of an image in which nothing is: reading what it has takes a tenth of the time that formatting another takes. */
export async function copyImage(from: string, to: string): Promise<void> {
  await using source = await open(from, 'r');
  await using copy = await open(to, 'wx', 0o600);
  await copy.truncate((await source.stat()).size);
  for (const [offset, length] of piecesOf(source.fd)) {
    const { buffer, bytesRead } = await source.read(Buffer.allocUnsafe(length), 0, length, offset);
    for (let written = 0; written < bytesRead; ) {
      written += (await copy.write(buffer, written, bytesRead - written, offset + written)).bytesWritten;
    }
  }
}

/** Closed when this resolves: what formats it is another program. */
async function makeSparse(path: string, bytes: number): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  await file.truncate(bytes);
}

/** Bytes in use on the volume. */
export async function volumeUsage(mountPoint: string): Promise<number> {
  const status = await statfs(mountPoint);
  return (status.blocks - status.bfree) * status.bsize;
}

/** Whether something more could hardly be written to the volume. */
export async function isVolumeFull(mountPoint: string): Promise<boolean> {
  const status = await statfs(mountPoint);
  return status.bavail * status.bsize < MIB || status.ffree === 0;
}
