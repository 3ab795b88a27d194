import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { PassThrough, Readable } from 'node:stream';
import * as yazl from 'yazl';
import type { BlobInfo, Blobs } from '../../contracts/blobs.ts';
import { type ArchiveEntry, ArchiveRefusedError, type CheckedArchive, safePath } from './archive.ts';

/** Files outside these bounds are not worth matching; the client sends them each time. */
export const RESOURCE_BYTES = { least: 64 * 1024, most: 512 * 1024 ** 2 } as const;

/** A file the client did not send because the platform has it: its SHA-1 and size, and where it goes. */
export interface MatchedResource {
  sha1: string;
  bytes: number;
  path: string;
  mode: number;
}

const SHA1 = /^[0-9a-f]{40}$/;

type Fields = Record<string, unknown>;

/** Reads the `resources` field of an upload, in the v3 or the older spelling. Throws ArchiveRefusedError. */
export function readResources(json: string): MatchedResource[] {
  const parsed = parseJson(json);
  const list = Array.isArray(parsed) ? parsed : (parsed as Fields | null)?.['resources'];
  if (!Array.isArray(list)) throw new ArchiveRefusedError('resources must be a list');
  if (list.length > 100_000) throw new ArchiveRefusedError('there are too many resources');
  return list.map((item: Fields | null) => {
    const checksum = item?.['checksum'];
    const sha1 = typeof checksum === 'object' && checksum !== null ? (checksum as Fields)['value'] : item?.['sha1'];
    const bytes = item?.['size_in_bytes'] ?? item?.['size'];
    const path = item?.['path'] ?? item?.['fn'];
    const mode = item?.['mode'] ?? '644';
    if (typeof sha1 !== 'string' || !SHA1.test(sha1) || typeof path !== 'string' || typeof bytes !== 'number') {
      throw new ArchiveRefusedError('a resource has no checksum, size or path');
    }
    if (typeof mode !== 'string' || !/^[0-7]{1,6}$/.test(mode))
      throw new ArchiveRefusedError('a resource has a bad mode');
    const permissions = Number.parseInt(mode, 8) & 0o777;
    return { sha1, bytes, path: safePath(path), mode: Math.max(permissions, 0o600) };
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ArchiveRefusedError('resources is not JSON');
  }
}

/** Which of these the platform has: same SHA-1, same size, and of a size it keeps. */
export async function matchResources(
  blobs: Blobs,
  wanted: readonly { sha1: string; bytes: number }[],
): Promise<Set<string>> {
  const found = new Set<string>();
  for (const { sha1, bytes } of wanted) {
    if (!SHA1.test(sha1) || bytes < RESOURCE_BYTES.least || bytes > RESOURCE_BYTES.most || found.has(sha1)) continue;
    if ((await blobs.stat('resources', sha1))?.bytes === bytes) found.add(sha1);
  }
  return found;
}

/**
 * Writes the package: the checked upload, or the upload with the matched resources added. Files worth keeping go to
 * the resource cache under the SHA-1 that is computed here, never one the client claims.
 */
export async function storePackage(options: {
  blobs: Blobs;
  key: string;
  upload: { path: string; archive: CheckedArchive } | null;
  resources: readonly MatchedResource[];
  maxBytes: number;
  unpackedBytes: number;
}): Promise<BlobInfo> {
  const { blobs, key, upload, resources, maxBytes } = options;
  if (!upload && resources.length === 0) throw new ArchiveRefusedError('the package is empty');
  if (upload) await remember(blobs, upload.archive.entries);
  if (upload && resources.length === 0) return blobs.put('packages', key, createReadStream(upload.path), maxBytes);
  const entries = upload?.archive.entries ?? [];
  const claimed = resources.reduce((sum, resource) => sum + resource.bytes, 0);
  const sent = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  if (claimed + sent > options.unpackedBytes) {
    throw new ArchiveRefusedError('the package unpacks to more than is allowed');
  }
  return blobs.put('packages', key, await merge(blobs, entries, resources), maxBytes);
}

async function merge(
  blobs: Blobs,
  entries: readonly ArchiveEntry[],
  resources: readonly MatchedResource[],
): Promise<Readable> {
  const zip = new yazl.ZipFile();
  const output = new PassThrough();
  const fail = (error: unknown): void => {
    output.destroy(error instanceof Error ? error : new Error(String(error)));
  };
  const lazily = (path: string, mode: number, open: () => Promise<Readable>): void => {
    zip.addReadStreamLazy(path, { mode }, (callback) => {
      open().then((stream) => callback(null, stream.on('error', fail)), fail);
    });
  };
  const taken = new Map<string, ArchiveEntry['type']>();
  for (const entry of entries) {
    taken.set(entry.path, entry.type);
    if (entry.path === '') continue;
    if (entry.type === 'directory') zip.addEmptyDirectory(entry.path, { mode: 0o040000 | entry.mode });
    else lazily(entry.path, (entry.type === 'symlink' ? 0o120000 : 0o100000) | entry.mode, entry.open);
  }
  for (const resource of resources) {
    if (taken.has(resource.path)) throw new ArchiveRefusedError(`'${resource.path}' is in the package twice`);
    for (let slash = resource.path.indexOf('/'); slash !== -1; slash = resource.path.indexOf('/', slash + 1)) {
      if ((taken.get(resource.path.slice(0, slash)) ?? 'directory') !== 'directory') {
        throw new ArchiveRefusedError(`'${resource.path}' lies below a file or a link`);
      }
    }
    taken.set(resource.path, 'file');
    if ((await blobs.stat('resources', resource.sha1))?.bytes !== resource.bytes) {
      throw new ArchiveRefusedError(`'${resource.path}' is not known here; send it`);
    }
    lazily(resource.path, 0o100000 | resource.mode, async () => {
      const blob = await blobs.open('resources', resource.sha1);
      if (!blob) throw new ArchiveRefusedError('a matched resource went away; push again');
      return blob.body;
    });
  }
  zip.end();
  zip.outputStream.on('error', fail);
  zip.outputStream.pipe(output);
  return output;
}

async function remember(blobs: Blobs, entries: readonly ArchiveEntry[]): Promise<void> {
  for (const entry of entries) {
    if (entry.type !== 'file' || entry.bytes < RESOURCE_BYTES.least || entry.bytes > RESOURCE_BYTES.most) continue;
    const hash = createHash('sha1');
    for await (const chunk of await entry.open()) hash.update(chunk as Buffer);
    const sha1 = hash.digest('hex');
    if (await blobs.stat('resources', sha1)) continue;
    await blobs.put('resources', sha1, Readable.from(await entry.open()), RESOURCE_BYTES.most);
  }
}
