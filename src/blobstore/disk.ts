import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import type { BlobInfo, BlobKind } from '../contracts/blobs.ts';
import { CupolaError } from '../kit/errors.ts';

export const BLOB_KINDS: readonly BlobKind[] = ['packages', 'droplets', 'buildpacks', 'buildpack-caches', 'resources'];
const KEY = /^[\w-]{1,200}$/;
const ENTRY_SUFFIX = '.info';
const MAX_ENTRY = 4096;

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
  #lastChange: Promise<void> = Promise.resolve();

  constructor(directory: string) {
    this.#directory = directory;
    this.#incoming = join(directory, 'incoming');
  }

  /** Makes the directories and clears away what a crash left half written. */
  async start(): Promise<void> {
    await mkdir(this.#incoming, { recursive: true, mode: 0o700 });
    for (const left of await readdir(this.#incoming)) await rm(join(this.#incoming, left), { force: true });
  }

  /** Throws `blob_too_large`, `bad_blob_key`; then nothing of the body stays. */
  async put(kind: BlobKind, key: string, body: Readable, maxBytes: number): Promise<BlobInfo> {
    const entryPath = this.#entryPath(kind, key);
    const parent = dirname(entryPath);
    const file = `${key}.${randomUUID()}`;
    const incoming = join(this.#incoming, file);
    try {
      const info = await writeAndFlush(incoming, body, maxBytes);
      const incomingEntry = `${incoming}${ENTRY_SUFFIX}`;
      await writeAndFlush(incomingEntry, Readable.from([JSON.stringify({ ...info, file })]), MAX_ENTRY);
      await mkdir(parent, { recursive: true, mode: 0o700 });
      await this.#inTurn(async () => {
        const former = await readEntry(entryPath);
        await rename(incoming, join(parent, file));
        await rename(incomingEntry, entryPath);
        await flushDirectory(parent);
        if (former) await rm(join(parent, former.file), { force: true });
      });
      return info;
    } catch (error) {
      body.destroy();
      await rm(incoming, { force: true });
      await rm(`${incoming}${ENTRY_SUFFIX}`, { force: true });
      throw error;
    }
  }

  async open(kind: BlobKind, key: string): Promise<{ body: Readable; bytes: number; sha256: string } | null> {
    const entryPath = this.#entryPath(kind, key);
    // Again where the blob was replaced between the two steps.
    for (let tries = 0; tries < 5; tries += 1) {
      const entry = await readEntry(entryPath);
      if (!entry) return null;
      const file = await orNull(open(join(dirname(entryPath), entry.file), 'r'));
      if (file) return { body: file.createReadStream(), bytes: entry.bytes, sha256: entry.sha256 };
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

async function writeAndFlush(path: string, body: Readable, maxBytes: number): Promise<BlobInfo> {
  const file = await open(path, 'wx', 0o600);
  try {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of body) {
      const data = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
      bytes += data.length;
      if (bytes > maxBytes) throw new CupolaError('blob_too_large', `a blob is larger than ${maxBytes} bytes`);
      hash.update(data);
      await writeWhole(file, data);
    }
    await file.sync();
    return { sha256: hash.digest('hex'), bytes };
  } finally {
    await file.close();
  }
}

async function writeWhole(file: FileHandle, data: Buffer): Promise<void> {
  for (let at = 0; at < data.length; ) {
    const { bytesWritten } = await file.write(data, at, data.length - at);
    at += bytesWritten;
  }
}

/** A rename is on disk once its directory is. */
async function flushDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
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
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
