import type { Readable } from 'node:stream';
import * as yauzl from 'yauzl';

/** What an upload may hold (SECURITY-TESTS 24). */
export interface ArchiveLimits {
  entries: number;
  /** Unpacked size of everything together. */
  unpackedBytes: number;
  /** Unpacked to packed, judged only once `ratioFromBytes` would be unpacked. */
  ratio: number;
  ratioFromBytes: number;
}

export const PACKAGE_LIMITS: ArchiveLimits = {
  entries: 200_000,
  unpackedBytes: 4 * 1024 ** 3,
  ratio: 200,
  ratioFromBytes: 64 * 1024 ** 2,
};

/** The archive is hostile or broken. The message is for the user and names no path of the server. */
export class ArchiveRefusedError extends Error {
  override readonly name = 'ArchiveRefusedError';
}

export interface ArchiveEntry {
  path: string;
  type: 'file' | 'directory' | 'symlink';
  bytes: number;
  /** Permission bits; 0o644 or 0o755 where the archive names none. */
  mode: number;
  open(): Promise<Readable>;
}

export interface CheckedArchive {
  entries: ArchiveEntry[];
  close(): void;
}

const TYPE_MASK = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const SYMLINK = 0o120000;

/** Opens a zip and checks every entry before anything of it is used. Throws ArchiveRefusedError. */
export async function openArchive(path: string, packedBytes: number, limits: ArchiveLimits): Promise<CheckedArchive> {
  const zip = await openZip(path);
  try {
    if (zip.entryCount > limits.entries) throw new ArchiveRefusedError('the archive has too many entries');
    const entries = await readEntries(zip, limits);
    checkSizes(entries, packedBytes, limits);
    const checked = entries.map((entry) => describe(zip, entry));
    checkNames(checked);
    await checkLinks(checked);
    return { entries: checked, close: () => zip.close() };
  } catch (error) {
    zip.close();
    if (error instanceof ArchiveRefusedError) throw error;
    throw new ArchiveRefusedError('the archive is damaged or has names that are not allowed', { cause: error });
  }
}

function openZip(path: string): Promise<yauzl.ZipFile> {
  const { promise, resolve, reject } = Promise.withResolvers<yauzl.ZipFile>();
  yauzl.open(path, { lazyEntries: true, autoClose: false, validateEntrySizes: true }, (error, zip) => {
    if (error) reject(new ArchiveRefusedError('the upload is not a zip archive', { cause: error }));
    else resolve(zip);
  });
  return promise;
}

function readEntries(zip: yauzl.ZipFile, limits: ArchiveLimits): Promise<yauzl.Entry[]> {
  const { promise, resolve, reject } = Promise.withResolvers<yauzl.Entry[]>();
  const entries: yauzl.Entry[] = [];
  zip.on('error', reject);
  zip.on('end', () => resolve(entries));
  zip.on('entry', (entry: yauzl.Entry) => {
    entries.push(entry);
    if (entries.length > limits.entries) return reject(new ArchiveRefusedError('the archive has too many entries'));
    if ((entry.generalPurposeBitFlag & 1) === 1) {
      return reject(new ArchiveRefusedError('the archive has encrypted entries'));
    }
    if (entry.compressionMethod !== 0 && entry.compressionMethod !== 8) {
      return reject(new ArchiveRefusedError('the archive uses a compression method that is not supported'));
    }
    zip.readEntry();
  });
  zip.readEntry();
  return promise;
}

function openEntry(zip: yauzl.ZipFile, entry: yauzl.Entry): Promise<Readable> {
  const { promise, resolve, reject } = Promise.withResolvers<Readable>();
  zip.openReadStream(entry, (error, stream) => (error ? reject(error) : resolve(stream)));
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

function describe(zip: yauzl.ZipFile, entry: yauzl.Entry): ArchiveEntry {
  const unixMode = entry.externalFileAttributes >>> 16;
  const isDirectoryName = entry.fileName.endsWith('/');
  const kind = unixMode & TYPE_MASK;
  if (kind !== 0 && kind !== REGULAR && kind !== DIRECTORY && kind !== SYMLINK) {
    throw new ArchiveRefusedError(`${printable(entry.fileName)} is a device, a pipe or a socket`);
  }
  // The cf CLI marks directories as regular files: their name says what they are, and they hold nothing.
  const fits = isDirectoryName ? kind !== SYMLINK && entry.uncompressedSize === 0 : kind !== DIRECTORY;
  if (!fits) {
    throw new ArchiveRefusedError(`${printable(entry.fileName)} is not what its name says`);
  }
  const type = isDirectoryName ? 'directory' : kind === SYMLINK ? 'symlink' : 'file';
  // Set-uid, set-gid and sticky bits never leave the archive.
  const permissions = unixMode & 0o777;
  return {
    path: safePath(entry.fileName),
    type,
    bytes: entry.uncompressedSize,
    mode: permissions || (type === 'directory' ? 0o755 : 0o644),
    open: () => openEntry(zip, entry),
  };
}

/** The path without a trailing slash and without "." parts. Throws where it is absolute or climbs (zip slip). */
export function safePath(name: string): string {
  const path = name.replaceAll('\\', '/');
  if (path.startsWith('/') || /^[A-Za-z]:/.test(path) || path.includes('\0') || Buffer.byteLength(path) > 4096) {
    throw new ArchiveRefusedError(`${printable(name)} is not a relative path`);
  }
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw new ArchiveRefusedError(`${printable(name)} leaves the archive`);
  if (parts.some((part) => Buffer.byteLength(part) > 255)) {
    throw new ArchiveRefusedError(`${printable(name)} is too long`);
  }
  return parts.join('/');
}

/** No path twice, and nothing below a file or a link: what is below a link would be written where the link points. */
function checkNames(entries: readonly ArchiveEntry[]): void {
  const types = new Map<string, ArchiveEntry['type']>();
  for (const entry of entries) {
    const known = types.get(entry.path);
    if (known && !(known === 'directory' && entry.type === 'directory')) {
      throw new ArchiveRefusedError(`${printable(entry.path)} is in the archive twice`);
    }
    if (entry.path === '' && entry.type !== 'directory') throw new ArchiveRefusedError('an entry has no name');
    types.set(entry.path, entry.type);
  }
  for (const { path } of entries) {
    for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
      const above = types.get(path.slice(0, slash));
      if (above && above !== 'directory')
        throw new ArchiveRefusedError(`${printable(path)} lies below a file or a link`);
    }
  }
}

/** A link may point to what the archive holds and nowhere else. */
async function checkLinks(entries: readonly ArchiveEntry[]): Promise<void> {
  for (const entry of entries) {
    if (entry.type !== 'symlink') continue;
    if (entry.bytes === 0 || entry.bytes > 4096)
      throw new ArchiveRefusedError(`${printable(entry.path)} is a broken link`);
    const chunks: Buffer[] = [];
    for await (const chunk of await entry.open()) chunks.push(chunk as Buffer);
    const target = Buffer.concat(chunks).toString('utf8');
    if (!staysInside(entry.path, target)) {
      throw new ArchiveRefusedError(`${printable(entry.path)} links to a place outside the archive`);
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

/** A name as it may stand in an error: short and without control characters. */
function printable(name: string): string {
  return `'${name.replace(/[^\x20-\x7e]/g, '?').slice(0, 120)}'`;
}
