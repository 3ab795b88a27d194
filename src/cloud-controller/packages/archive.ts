import type { Readable } from 'node:stream';
import type * as yauzl from 'yauzl';
import { type Share, Shares } from '../../kit/shares.ts';
import { madeOf, OwnedStreams } from '../../kit/streams.ts';
import { inTurns } from '../../kit/turns.ts';
import type { ArchiveLimits } from './archive-limits.ts';
import { ArchiveRefusedError, asRefusal, quoted } from './archive-refusal.ts';
import { PathTree } from './path-tree.ts';
import { readDirectory } from './zip-directory.ts';
import { AHEAD_BYTES, openZip } from './zip-reader.ts';

export const PACKAGE_LIMITS: ArchiveLimits = {
  entries: 200_000,
  nameBytes: 4096,
  directoryBytes: 24 * 1024 ** 2,
  unpackedBytes: 4 * 1024 ** 3,
  ratio: 200,
  ratioFromBytes: 64 * 1024 ** 2,
};

export interface ArchiveEntry {
  path: string;
  type: 'file' | 'directory' | 'symlink';
  bytes: number;
  /** Permission bits; 0o644 or 0o755 where the archive names none. */
  mode: number;
  /** Its content. Opening and reading throw ArchiveRefusedError where the archive is damaged or lied about it. */
  open(): Promise<Readable>;
}

export interface CheckedArchive {
  entries: ArchiveEntry[];
  /** Ends all that was opened of it, also what nobody has read. */
  close(): void;
}

/** What an archive is opened for. */
export interface ArchiveUse {
  /** Who sent it: where there is no room for all, senders take turns. */
  sender: string;
  /** Which of the checked entries are wanted; the others are let go. All unless told. */
  keeps?: ((entry: ArchiveEntry) => boolean) | undefined;
}

const TYPE_MASK = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const SYMLINK = 0o120000;

/** What an entry takes in memory while its archive is open, beside its name. */
const ENTRY_BYTES = 768;
const MEBIBYTE = 1024 ** 2;
/** An app of some 10,000 files. */
const SMALL_BYTES = 8 * MEBIBYTE;
/**
 * The directories of all archives that are open; who comes when there is no room waits. Small ones have room of their own, so that
 * none of them waits for a large one.
 */
const small = new Shares(64 * MEBIBYTE, 32 * MEBIBYTE);
const large = new Shares(192 * MEBIBYTE, 96 * MEBIBYTE);

/** Opens a zip and checks every entry before anything of it is used. Throws ArchiveRefusedError. */
export async function openArchive(
  file: { path: string; bytes: number },
  limits: ArchiveLimits,
  { sender, keeps = () => true }: ArchiveUse,
): Promise<CheckedArchive> {
  const { zip, reader } = await openZip(file.path, file.bytes);
  const streams = new OwnedStreams();
  let share: Share | null = null;
  const close = (): void => {
    streams.end();
    zip.close();
    share?.release();
  };
  try {
    if (zip.entryCount > limits.entries) throw new ArchiveRefusedError('the archive has too many entries');
    const bytes = zip.entryCount * ENTRY_BYTES + Math.min(directoryBytes(zip, file.bytes), limits.directoryBytes);
    share = await (bytes <= SMALL_BYTES ? small : large).take(sender, bytes + AHEAD_BYTES);
    const entries = (await checkedEntries(zip, streams, file.bytes, limits)).filter(keeps);
    reader.letGo();
    share.shrink(entries.reduce((sum, { path }) => sum + ENTRY_BYTES + 2 * path.length, 0));
    return { entries, close };
  } catch (error) {
    close();
    throw asRefusal(error, 'the archive is damaged or has names that are not allowed');
  }
}

async function checkedEntries(
  zip: yauzl.ZipFile,
  streams: OwnedStreams,
  packedBytes: number,
  limits: ArchiveLimits,
): Promise<ArchiveEntry[]> {
  const entries = await readDirectory(zip, limits);
  checkSizes(entries, packedBytes, limits);
  const checked: ArchiveEntry[] = [];
  for await (const entry of inTurns(entries)) checked.push(describe(zip, streams, entry));
  await checkNames(checked);
  await checkLinks(checked);
  return checked;
}

/** Before it is read: it reaches to the end of the file at most. */
function directoryBytes(zip: yauzl.ZipFile, fileBytes: number): number {
  const begin: unknown = zip.readEntryCursor;
  return typeof begin === 'number' ? Math.max(0, fileBytes - begin) : fileBytes;
}

function openEntry(zip: yauzl.ZipFile, streams: OwnedStreams, entry: yauzl.Entry): Promise<Readable> {
  const { promise, resolve, reject } = Promise.withResolvers<Readable>();
  const damaged = (error: unknown): unknown => asRefusal(error, `${quoted(entry.fileName)} is damaged`);
  async function* content(stream: AsyncIterable<Buffer>) {
    try {
      yield* stream;
    } catch (error) {
      throw damaged(error);
    }
  }
  zip.openReadStream(entry, (error, stream) => {
    if (error) reject(damaged(error));
    else resolve(streams.own(madeOf(streams.own(stream), content)));
  });
  return promise;
}

/** Bombs: by size, by ratio, and by entries that share the same bytes. */
function checkSizes(entries: readonly yauzl.Entry[], packedBytes: number, limits: ArchiveLimits): void {
  const unpacked = entries.reduce((sum, entry) => sum + entry.uncompressedSize, 0);
  const packed = entries.reduce((sum, entry) => sum + entry.compressedSize, 0);
  if (unpacked > limits.unpackedBytes) throw new ArchiveRefusedError('the archive unpacks to more than is allowed');
  if (packed > packedBytes) throw new ArchiveRefusedError('the archive has overlapping entries');
  if (unpacked > limits.ratioFromBytes && unpacked > packedBytes * limits.ratio) {
    throw new ArchiveRefusedError('the archive is compressed more than is allowed');
  }
  const offsets = new Set(entries.map((entry) => entry.relativeOffsetOfLocalHeader));
  if (offsets.size !== entries.length) throw new ArchiveRefusedError('the archive has overlapping entries');
}

function describe(zip: yauzl.ZipFile, streams: OwnedStreams, entry: yauzl.Entry): ArchiveEntry {
  const unixMode = entry.externalFileAttributes >>> 16;
  const isDirectoryName = entry.fileName.endsWith('/');
  const kind = unixMode & TYPE_MASK;
  if (kind !== 0 && kind !== REGULAR && kind !== DIRECTORY && kind !== SYMLINK) {
    throw new ArchiveRefusedError(`${quoted(entry.fileName)} is a device, a pipe or a socket`);
  }
  // The cf CLI marks directories as regular files: their name says what they are, and they hold nothing.
  const fits = isDirectoryName ? kind !== SYMLINK && entry.uncompressedSize === 0 : kind !== DIRECTORY;
  if (!fits) {
    throw new ArchiveRefusedError(`${quoted(entry.fileName)} is not what its name says`);
  }
  const type = isDirectoryName ? 'directory' : kind === SYMLINK ? 'symlink' : 'file';
  // Set-uid, set-gid and sticky bits never leave the archive.
  const permissions = unixMode & 0o777;
  return {
    path: safePath(entry.fileName),
    type,
    bytes: entry.uncompressedSize,
    mode: permissions || (type === 'directory' ? 0o755 : 0o644),
    open: () => openEntry(zip, streams, entry),
  };
}

/** Ordinary apps stay far below. */
const MOST_PARTS = 100;

/** The path without a trailing slash and without "." parts. Throws where it is absolute or climbs (zip slip). */
export function safePath(name: string): string {
  const path = name.replaceAll('\\', '/');
  if (path.startsWith('/') || /^[A-Za-z]:/.test(path) || path.includes('\0') || Buffer.byteLength(path) > 4096) {
    throw new ArchiveRefusedError(`${quoted(name)} is not a relative path`);
  }
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.length > MOST_PARTS) throw new ArchiveRefusedError(`${quoted(name)} lies too deep`);
  if (parts.includes('..')) throw new ArchiveRefusedError(`${quoted(name)} leaves the archive`);
  if (parts.some((part) => Buffer.byteLength(part) > 255)) {
    throw new ArchiveRefusedError(`${quoted(name)} is too long`);
  }
  return parts.join('/');
}

/** No path twice, and nothing below a file or a link: what is below a link would be written where the link points. */
async function checkNames(entries: readonly ArchiveEntry[]): Promise<void> {
  const paths = new PathTree();
  for await (const entry of inTurns(entries)) {
    if (entry.path === '' && entry.type !== 'directory') throw new ArchiveRefusedError('an entry has no name');
    checkPlace(paths, entry, 'archive');
  }
}

/** Throws ArchiveRefusedError where there is no place for it. */
export function checkPlace(
  paths: PathTree,
  { path, type }: Pick<ArchiveEntry, 'path' | 'type'>,
  what: 'archive' | 'package',
): void {
  switch (paths.put(path, type)) {
    case 'put':
      return;
    case 'twice':
      throw new ArchiveRefusedError(`${quoted(path)} is in the ${what} twice`);
    case 'below':
      throw new ArchiveRefusedError(`${quoted(path)} lies below a file or a link`);
    case 'full':
      throw new ArchiveRefusedError(`the ${what} has too many directories`);
  }
}

/** A link may point to what the archive holds and nowhere else. */
async function checkLinks(entries: readonly ArchiveEntry[]): Promise<void> {
  for (const entry of entries) {
    if (entry.type !== 'symlink') continue;
    if (entry.bytes === 0 || entry.bytes > 4096)
      throw new ArchiveRefusedError(`${quoted(entry.path)} is a broken link`);
    const chunks: Buffer[] = [];
    for await (const chunk of await entry.open()) chunks.push(chunk as Buffer);
    const target = Buffer.concat(chunks).toString('utf8');
    if (!staysInside(entry.path, target)) {
      throw new ArchiveRefusedError(`${quoted(entry.path)} links to a place outside the archive`);
    }
  }
}

/**
 * Whether a link at `path` with this text stays below the archive's root. ".." may only lead: after a name it would
 * climb from wherever that name, itself perhaps a link, points to.
 */
export function staysInside(path: string, target: string): boolean {
  if (target.startsWith('/') || target.includes('\0') || target.includes('\\')) return false;
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  const climbs = parts.findIndex((part) => part !== '..');
  const leading = climbs === -1 ? parts.length : climbs;
  return leading <= path.split('/').length - 1 && !parts.slice(leading).includes('..');
}
