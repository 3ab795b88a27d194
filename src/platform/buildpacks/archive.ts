import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { lstat, open, readdir, readFile, readlink, rename } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { ZipFile } from 'yazl';
import { tool } from './tool.ts';

const compress = promisify(gzip);
/** Of every entry, so that the same content gives the same archive. */
const EPOCH = new Date('2020-01-01T00:00:00Z');
const PIECE = 8 * 1024 * 1024;
/** Two empty 512-byte blocks end a tar. */
const END_MARK = 1024;

/**
 * Writes the tree as a gzipped tar without end mark, its members under `./<prefix>/`. It is a row of gzip members, made on all
 * cores, and can be put before another gzipped tar to make one archive.
 */
export async function writeTarFragment(tree: string, prefix: string, file: string): Promise<void> {
  const plain = `${file}.plain`;
  await tool('tar', [
    ...['--sort=name', '--format=gnu', '--blocking-factor=1', `--mtime=@${EPOCH.getTime() / 1000}`],
    ...['--owner=vcap:2000', '--group=vcap:2000', '--mode=go-w', `--transform=flags=r;s,^\\.,./${prefix},`],
    ...['-C', tree, '-cf', plain, '.'],
  ]);
  await compressTo(file, plain);
  await tool('rm', [plain]);
}

async function compressTo(file: string, plain: string): Promise<void> {
  await using source = await open(plain, 'r');
  await using target = await open(file, 'w');
  const size = (await source.stat()).size - END_MARK;
  const pieces = Array.from({ length: Math.ceil(size / PIECE) }, (_, index) => index);
  const atOnce = 4; // threads of libuv's pool
  for (let first = 0; first < pieces.length; first += atOnce) {
    const compressed = await Promise.all(
      pieces.slice(first, first + atOnce).map(async (index) => {
        const buffer = Buffer.alloc(Math.min(PIECE, size - index * PIECE));
        await source.read(buffer, 0, buffer.length, index * PIECE);
        return compress(buffer, { level: 6 });
      }),
    );
    for (const piece of compressed) await target.write(piece);
  }
}

/** Writes a tree as a zip with sorted entries, modes, symbolic links and fixed times. Files ending in .gz are stored as they are. */
export async function writeZip(tree: string, file: string): Promise<void> {
  const zip = new ZipFile();
  for (const path of await entries(tree)) {
    const absolute = join(tree, path);
    const status = await lstat(absolute);
    const mode = status.mode & 0o100 ? 0o755 : 0o644;
    if (status.isSymbolicLink()) {
      zip.addBuffer(Buffer.from(await readlink(absolute)), path, { mtime: EPOCH, mode: 0o120777, compress: false });
    } else if (status.isDirectory()) {
      zip.addEmptyDirectory(path, { mtime: EPOCH, mode: 0o40755 });
    } else if (path.endsWith('.gz')) {
      zip.addFile(absolute, path, { mtime: EPOCH, mode: 0o100000 | mode, compress: false });
    } else {
      zip.addFile(absolute, path, { mtime: EPOCH, mode: 0o100000 | mode, compressionLevel: 1 });
    }
  }
  zip.end();
  await pipeline(zip.outputStream, createWriteStream(`${file}.part`));
  await rename(`${file}.part`, file);
}

/** Paths of everything below a directory, sorted, directories before their content. Links are not followed. */
export async function entries(tree: string): Promise<string[]> {
  const found = await readdir(tree, { recursive: true, withFileTypes: true });
  return found.map(({ parentPath, name }) => relative(tree, join(parentPath, name))).sort();
}

/** Digest of a source tree: names, modes and content. */
export async function treeDigest(tree: string): Promise<string> {
  const hash = createHash('sha256');
  for (const path of await entries(tree)) {
    const status = await lstat(join(tree, path));
    hash.update(`${path}\0${status.mode & 0o100}\0`);
    if (status.isFile()) hash.update(await readFile(join(tree, path)));
  }
  return hash.digest('hex');
}
