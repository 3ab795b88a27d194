import { PassThrough, type Readable } from 'node:stream';
import * as yazl from 'yazl';
import type { Blobs } from '../../contracts/blobs.ts';
import { isRecord, readJson } from '../../kit/json.ts';
import { OwnedStreams, readLater } from '../../kit/streams.ts';
import { inTurns } from '../../kit/turns.ts';
import { type ArchiveEntry, type CheckedArchive, checkPlace, safePath } from './archive.ts';
import { ArchiveRefusedError, quoted } from './archive-refusal.ts';
import { type MatchedFile, SHA1 } from './matched-files.ts';
import { PathTree } from './path-tree.ts';

/** A file the client did not send because the platform has it: its SHA-1 and size, and where it goes. */
export interface MatchedResource {
  sha1: string;
  bytes: number;
  path: string;
  mode: number;
}

type Fields = Record<string, unknown>;

/** Files below 64 KiB are matched nowhere, so that this many make up a package of more than it may have. */
const MOST_RESOURCES = 20_000;

/** Reads the `resources` field of an upload, in the v3 or the older spelling. Throws ArchiveRefusedError. */
export async function readResources(json: string): Promise<MatchedResource[]> {
  const parsed = parseJson(json);
  const list = Array.isArray(parsed) ? parsed : fieldsOf(parsed)['resources'];
  if (!Array.isArray(list)) throw new ArchiveRefusedError('resources must be a list');
  if (list.length > MOST_RESOURCES) throw new ArchiveRefusedError('there are too many resources');
  const resources: MatchedResource[] = [];
  for await (const item of inTurns(list)) resources.push(readResource(fieldsOf(item)));
  return resources;
}

function readResource(item: Fields): MatchedResource {
  const { checksum } = item;
  const sha1 = typeof checksum === 'object' && checksum !== null ? fieldsOf(checksum)['value'] : item['sha1'];
  const bytes = item['size_in_bytes'] ?? item['size'];
  const path = item['path'] ?? item['fn'];
  const mode = item['mode'] ?? '644';
  if (typeof sha1 !== 'string' || !SHA1.test(sha1) || typeof path !== 'string' || typeof bytes !== 'number') {
    throw new ArchiveRefusedError('a resource has no checksum, size or path');
  }
  if (typeof mode !== 'string' || !/^[0-7]{1,6}$/.test(mode))
    throw new ArchiveRefusedError('a resource has a bad mode');
  const permissions = Number.parseInt(mode, 8) & 0o777;
  const inside = safePath(path);
  if (inside === '') throw new ArchiveRefusedError('a resource has no name');
  return { sha1, bytes, path: inside, mode: Math.max(permissions, 0o600) };
}

function fieldsOf(value: unknown): Fields {
  return isRecord(value) ? value : {};
}

function parseJson(text: string): unknown {
  try {
    return readJson(text);
  } catch (cause) {
    throw new ArchiveRefusedError('resources is not JSON', { cause });
  }
}

/**
 * The package's bytes: the checked upload with the matched files added. `matched` has what the caller may use, by SHA-1. Throws
 * ArchiveRefusedError.
 */
export async function packageContent(options: {
  blobs: Blobs;
  upload: { archive: CheckedArchive } | null;
  resources: readonly MatchedResource[];
  matched: ReadonlyMap<string, MatchedFile>;
  unpackedBytes: number;
}): Promise<{ body: Readable }> {
  const { blobs, upload, resources, matched } = options;
  if (!upload && resources.length === 0) throw new ArchiveRefusedError('the package is empty');
  const entries = upload?.archive.entries ?? [];
  const claimed = resources.reduce((sum, resource) => sum + resource.bytes, 0);
  const sent = entries.reduce((sum, entry) => sum + entry.bytes, 0);
  if (claimed + sent > options.unpackedBytes) {
    throw new ArchiveRefusedError('the package unpacks to more than is allowed');
  }
  return { body: await merge(blobs, entries, await withFiles(entries, resources, matched)) };
}

interface PlacedFile {
  resource: MatchedResource;
  file: MatchedFile;
}

/** Each matched resource with its file. Throws where one is not there for the caller or its path is taken. */
async function withFiles(
  entries: readonly ArchiveEntry[],
  resources: readonly MatchedResource[],
  matched: ReadonlyMap<string, MatchedFile>,
): Promise<PlacedFile[]> {
  const paths = new PathTree();
  for await (const entry of inTurns(entries)) checkPlace(paths, entry, 'package');
  const files: PlacedFile[] = [];
  for await (const resource of inTurns(resources)) {
    checkPlace(paths, { path: resource.path, type: 'file' }, 'package');
    const name = quoted(resource.path);
    const file = matched.get(resource.sha1);
    if (file?.bytes !== resource.bytes) throw new ArchiveRefusedError(`${name} is not known here; send it`);
    files.push({ resource, file });
  }
  return files;
}

/** What it opens ends with what it gives. */
async function merge(blobs: Blobs, entries: readonly ArchiveEntry[], files: readonly PlacedFile[]): Promise<Readable> {
  const zip = new yazl.ZipFile();
  // It begins to read at once, and may fail before it is read itself.
  const output = readLater(new PassThrough());
  const streams = new OwnedStreams();
  output.once('close', () => streams.end());
  const fail = (error: unknown): void => {
    output.destroy(error instanceof Error ? error : new Error(String(error)));
  };
  const lazily = (path: string, mode: number, open: () => Promise<Readable>): void => {
    zip.addReadStreamLazy(path, { mode }, (callback) => {
      if (output.destroyed) return;
      open().then((stream) => callback(null, streams.own(stream).on('error', fail)), fail);
    });
  };
  for await (const entry of inTurns(entries)) {
    if (entry.path === '') continue;
    if (entry.type === 'directory') zip.addEmptyDirectory(entry.path, { mode: 0o040000 | entry.mode });
    else lazily(entry.path, (entry.type === 'symlink' ? 0o120000 : 0o100000) | entry.mode, entry.open);
  }
  for await (const { resource, file } of inTurns(files)) {
    lazily(resource.path, 0o100000 | resource.mode, async () => {
      const blob = await blobs.open('resources', file.guid);
      if (!blob) throw new ArchiveRefusedError('a matched file went away; push again');
      return blob.body;
    });
  }
  zip.end();
  zip.on('error', fail);
  zip.outputStream.on('error', fail);
  zip.outputStream.pipe(output);
  return output;
}
