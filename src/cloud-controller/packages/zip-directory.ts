import * as yauzl from 'yauzl';
import type { ArchiveLimits } from './archive-limits.ts';
import { ArchiveRefusedError, quoted } from './archive-refusal.ts';

/**
 * Reads the directory of a zip, of which nothing is kept but what opens and checks an entry. Comments and extra fields may be
 * 64 KiB each and are not needed: they are counted, and let go with their entry. Names stay bytes until their length is known.
 * Throws ArchiveRefusedError, and what the library says of a damaged archive.
 */
export function readDirectory(zip: yauzl.ZipFile, limits: ArchiveLimits): Promise<yauzl.Entry[]> {
  const { promise, resolve, reject } = Promise.withResolvers<yauzl.Entry[]>();
  const entries: yauzl.Entry[] = [];
  let bytes = 0;
  zip.on('error', reject);
  zip.on('end', () => resolve(entries));
  zip.on('entry', (entry: yauzl.Entry) => {
    try {
      bytes += entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength;
      if (bytes > limits.directoryBytes || entries.length >= limits.entries) {
        throw new ArchiveRefusedError('the directory of the archive is larger than is allowed');
      }
      entries.push(kept(entry, limits));
    } catch (error) {
      return reject(error);
    }
    zip.readEntry();
  });
  zip.readEntry();
  return promise;
}

function kept(entry: yauzl.Entry, limits: ArchiveLimits): yauzl.Entry {
  if (entry.isEncrypted()) throw new ArchiveRefusedError('the archive has encrypted entries');
  if (entry.compressionMethod !== 0 && entry.compressionMethod !== 8) {
    throw new ArchiveRefusedError('the archive uses a compression method that is not supported');
  }
  const own = new yauzl.Entry();
  own.fileName = nameOf(entry, limits.nameBytes);
  own.generalPurposeBitFlag = entry.generalPurposeBitFlag;
  own.compressionMethod = entry.compressionMethod;
  own.compressedSize = entry.compressedSize;
  own.uncompressedSize = entry.uncompressedSize;
  own.externalFileAttributes = entry.externalFileAttributes;
  own.relativeOffsetOfLocalHeader = entry.relativeOffsetOfLocalHeader;
  return own;
}

const IS_UTF8 = 0x800;
const UNICODE_PATH = 0x7075;
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function nameOf(
  { generalPurposeBitFlag: flags, fileNameRaw: raw, extraFields }: yauzl.Entry,
  nameBytes: number,
): string {
  const other = extraFields.find(({ id }) => id === UNICODE_PATH);
  if (Math.max(raw.length, other?.data.length ?? 0) > nameBytes) {
    throw new ArchiveRefusedError(`${quoted(raw.toString('latin1', 0, 200))} is too long`);
  }
  const isUtf8 = (flags & IS_UTF8) !== 0;
  if (isUtf8) checkUtf8(raw);
  const name = yauzl.getFileNameLowLevel(flags, raw, extraFields, false);
  // What the library puts together of single characters takes 32 bytes for each, until it is copied.
  return Buffer.from(name, 'utf8').toString('utf8');
}

function checkUtf8(raw: Buffer): void {
  try {
    strict.decode(raw);
  } catch (cause) {
    throw new ArchiveRefusedError(`${quoted(raw.toString('latin1'))} is no UTF-8`, { cause });
  }
}
