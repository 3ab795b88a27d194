import { createHash, randomUUID } from 'node:crypto';
import { constants, type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import type { BlobInfo, BlobKind, ListedBlob, Scratch } from '../contracts/blobs.ts';
import { CupolaError, codeOf } from '../kit/errors.ts';
import { PartWriter } from '../kit/part-writer.ts';
import { openFile, readLater } from '../kit/streams.ts';
import type { DiskRoom, Room } from './disk-room.ts';

export const BLOB_KINDS: readonly BlobKind[] = ['packages', 'droplets', 'buildpacks', 'buildpack-caches', 'resources'];
const KEY = /^[\w-]{1,200}$/;
const ENTRY_SUFFIX = '.info';
const MAX_ENTRY = 4096;
const NOT_HERE = new Set(['ENOENT', 'EXDEV']);

/** A key that can be no path: letters, digits, `_` and `-`. */
export function isBlobKey(key: string): boolean {
  return KEY.test(key);
}

/** What lies under a blob's key: its digest, and which file beside it has the content. */
interface Entry extends BlobInfo {
  file: string;
}

/**
 * Blobs as files: `<directory>/<kind>/<first two letters>/<key>.info` says digest, size and the name of the file with
 * the content. Both are written elsewhere, flushed and renamed into place, the entry last: a blob appears, and is
 * replaced, whole and at once.
 */
export class DiskStore {
  readonly #directory: string;
  readonly #incoming: string;
  readonly #room: DiskRoom;
  #lastChange: Promise<void> = Promise.resolve();

  constructor(directory: string, room: DiskRoom) {
    this.#directory = directory;
    this.#room = room;
    this.#incoming = join(directory, 'incoming');
  }

  /** Makes the directories and clears away what a crash left half written. */
  async start(): Promise<void> {
    await mkdir(this.#incoming, { recursive: true, mode: 0o700 });
    for (const left of await readdir(this.#incoming)) await rm(join(this.#incoming, left), { force: true });
  }

  /** A file that is there while `use` runs. */
  async scratch<Result>(room: Room, use: (scratch: Scratch) => Promise<Result>): Promise<Result> {
    const path = join(this.#incoming, `scratch.${randomUUID()}`);
    try {
      return await use({ path, fill: (body, maxBytes) => writeWhole(path, body, maxBytes, room) });
    } finally {
      await rm(path, { force: true });
    }
  }

  /** Throws `blob_too_large`, `blob_disk_full`, `bad_blob_key`; then nothing of the body stays. */
  async put(kind: BlobKind, key: string, body: Readable, maxBytes: number, room: Room = this.#room): Promise<BlobInfo> {
    readLater(body);
    try {
      return await this.#put(this.#entryPath(kind, key), `${key}.${randomUUID()}`, body, maxBytes, room);
    } catch (error) {
      body.destroy();
      throw error;
    }
  }

  async #put(entryPath: string, file: string, body: Readable, maxBytes: number, room: Room): Promise<BlobInfo> {
    const incoming = join(this.#incoming, file);
    try {
      const info = await writeWhole(incoming, body, maxBytes, room, flush);
      await this.#place(entryPath, incoming, { ...info, file });
      return info;
    } catch (error) {
      await rm(incoming, { force: true });
      throw error;
    }
  }

  /**
   * Takes a file for a blob's content, which has this digest by the word of whoever made it: nothing of it is read or written, and it has
   * its former name no more. Null where there is none of that name, or it lies on another file system or mount.
   */
  async adopt(kind: BlobKind, key: string, path: string, sha256: string): Promise<BlobInfo | null> {
    const entryPath = this.#entryPath(kind, key);
    try {
      const info = { sha256, bytes: await flushedSize(path) };
      await this.#place(entryPath, path, { ...info, file: `${key}.${randomUUID()}` });
      return info;
    } catch (error) {
      if (NOT_HERE.has(codeOf(error) ?? '')) return null;
      throw error;
    }
  }

  /** Puts a content that is whole on the disk in its place, and its entry last. */
  async #place(entryPath: string, content: string, entry: Entry): Promise<void> {
    const parent = dirname(entryPath);
    const incomingEntry = join(this.#incoming, `${entry.file}${ENTRY_SUFFIX}`);
    try {
      await writeWhole(incomingEntry, Readable.from([JSON.stringify(entry)]), MAX_ENTRY, this.#room, flush);
      await mkdir(parent, { recursive: true, mode: 0o700 });
      await this.#inTurn(async () => {
        const former = await readEntry(entryPath);
        await rename(content, join(parent, entry.file));
        await rename(incomingEntry, entryPath);
        await flushDirectory(parent);
        if (former) await rm(join(parent, former.file), { force: true });
      });
    } catch (error) {
      await rm(incomingEntry, { force: true });
      throw error;
    }
  }

  /** Whoever opens it reads its body to the end, or destroys it. */
  async open(kind: BlobKind, key: string): Promise<{ body: Readable; bytes: number; sha256: string } | null> {
    const entryPath = this.#entryPath(kind, key);
    // Again where the blob was replaced between the two steps.
    for (let tries = 0; tries < 5; tries += 1) {
      const entry = await readEntry(entryPath);
      if (!entry) return null;
      const body = await orNull(openFile(join(dirname(entryPath), entry.file)));
      if (body) return { body, bytes: entry.bytes, sha256: entry.sha256 };
    }
    return null;
  }

  async stat(kind: BlobKind, key: string): Promise<BlobInfo | null> {
    const entry = await readEntry(this.#entryPath(kind, key));
    return entry && { sha256: entry.sha256, bytes: entry.bytes };
  }

  async delete(kind: BlobKind, key: string): Promise<void> {
    const entryPath = this.#entryPath(kind, key);
    await this.#inTurn(async () => {
      const entry = await readEntry(entryPath);
      await rm(entryPath, { force: true });
      if (entry) await rm(join(dirname(entryPath), entry.file), { force: true });
    });
  }

  async *list(kind: BlobKind): AsyncGenerator<ListedBlob> {
    for await (const { parent, name } of this.#files(kind)) {
      if (!name.endsWith(ENTRY_SUFFIX)) continue;
      const path = join(parent, name);
      const entry = await readEntry(path);
      const found = entry && (await orNull(stat(path)));
      if (found) yield { key: name.slice(0, -ENTRY_SUFFIX.length), bytes: entry.bytes, modifiedAt: found.mtime };
    }
  }

  /** Removes contents older than a time that no entry names: a crash came between the two renames. Gives how many. */
  async removeStrays(before: Date): Promise<number> {
    let removed = 0;
    for (const kind of BLOB_KINDS) {
      for await (const { parent, name } of this.#files(kind)) {
        if (name.endsWith(ENTRY_SUFFIX)) continue;
        const path = join(parent, name);
        const found = await orNull(stat(path));
        if (!found || found.mtime >= before) continue;
        // In turn with puts, which rename the content first and its entry right after.
        await this.#inTurn(async () => {
          const entry = await readEntry(join(parent, `${name.slice(0, name.lastIndexOf('.'))}${ENTRY_SUFFIX}`));
          if (entry?.file === name) return;
          await rm(path, { force: true });
          removed += 1;
        });
      }
    }
    return removed;
  }

  async *#files(kind: BlobKind): AsyncGenerator<{ parent: string; name: string }> {
    const directory = join(this.#directory, kind);
    for (const prefix of (await orNull(readdir(directory))) ?? []) {
      const parent = join(directory, prefix);
      for (const name of (await orNull(readdir(parent))) ?? []) yield { parent, name };
    }
  }

  /** One change of entries after the other, so that two of the same key leave no content behind. */
  #inTurn(change: () => Promise<void>): Promise<void> {
    const done = this.#lastChange.then(change);
    this.#lastChange = done.catch(() => {});
    return done;
  }

  #entryPath(kind: BlobKind, key: string): string {
    if (!BLOB_KINDS.includes(kind) || !isBlobKey(key)) {
      throw new CupolaError('bad_blob_key', 'a blob key has letters, digits, _ and - alone');
    }
    return join(this.#directory, kind, key.slice(0, 2), `${key}${ENTRY_SUFFIX}`);
  }
}

async function writeWhole(
  path: string,
  body: Readable,
  maxBytes: number,
  room: Room,
  finish: (file: FileHandle) => Promise<void> = async () => {},
): Promise<BlobInfo> {
  readLater(body);
  await using file = await open(path, 'wx', 0o600);
  const hash = createHash('sha256');
  let bytes = 0;
  const writer = new PartWriter(async (parts, size) => {
    try {
      await room.write(size, () => writeParts(file, parts));
    } catch (error) {
      body.destroy(error instanceof Error ? error : new Error(String(error))); // it may have no more to say for long
      throw error;
    }
  });
  try {
    for await (const chunk of body) {
      const data = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
      bytes += data.length;
      if (bytes > maxBytes) throw new CupolaError('blob_too_large', `a blob is larger than ${maxBytes} bytes`);
      hash.update(data);
      await writer.add(data);
    }
  } finally {
    await writer.settled();
  }
  await finish(file);
  return { sha256: hash.digest('hex'), bytes };
}

const flush = (file: FileHandle): Promise<void> => file.sync();

async function writeParts(file: FileHandle, parts: readonly Buffer[]): Promise<void> {
  const whole = parts.reduce((sum, { length }) => sum + length, 0);
  const { bytesWritten } = await file.writev(parts);
  if (bytesWritten === whole) return;
  // Less than all: a full disk says so at the next one.
  const left = Buffer.concat(parts).subarray(bytesWritten);
  for (let at = 0; at < left.length; ) at += (await file.write(left, at)).bytesWritten;
}

/** Of a file that is on the disk when this returns. */
async function flushedSize(path: string): Promise<number> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  await file.sync();
  return (await file.stat()).size;
}

/** A rename is on disk once its directory is. */
async function flushDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r');
  await directory.sync();
}

async function readEntry(path: string): Promise<Entry | null> {
  const text = await orNull(readFile(path, 'utf8'));
  if (text === null) return null;
  const value: unknown = JSON.parse(text);
  if (value !== null && typeof value === 'object' && 'sha256' in value && 'bytes' in value && 'file' in value) {
    const { sha256, bytes, file } = value;
    if (typeof sha256 === 'string' && typeof bytes === 'number' && typeof file === 'string') {
      return { sha256, bytes, file };
    }
  }
  throw new CupolaError('bad_blob_entry', 'the entry of a blob cannot be read', { fields: { path } });
}

async function orNull<T>(attempt: Promise<T>): Promise<T | null> {
  try {
    return await attempt;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}
