import { randomUUID } from 'node:crypto';
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { BlobInfo } from '../../contracts/blobs.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { readFileLater } from '../../kit/streams.ts';

const MEBIBYTE = 1024 * 1024;
/** What is gathered for a write: each is a turn of its own. */
const PART_BYTES = 512 * 1024;

export interface KeptBounds {
  /** Of all of them, those that are still being written with them. */
  totalBytes: number;
  /** Of one. */
  eachBytes: number;
  /** How long one waits for its start. */
  keptMs: number;
  /** What may wait in memory for the disk, of one. */
  waitingBytes: number;
}

const BOUNDS: KeptBounds = {
  totalBytes: 1024 * MEBIBYTE,
  eachBytes: 512 * MEBIBYTE,
  keptMs: 10 * 60_000,
  waitingBytes: 8 * MEBIBYTE,
};

interface KeptDroplet {
  path: string;
  bytes: number;
  expiry: NodeJS.Timeout;
}

/**
 * Droplets that were staged on this cell, for their first start on it: known by the digest that was worked out while they
 * were uploaded, in files of names that nobody else chooses. Bounded; the oldest go first. Nothing of it outlives the process.
 */
export class KeptDroplets {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #bounds: KeptBounds;
  /** By digest, the oldest first. */
  readonly #kept = new Map<string, KeptDroplet>();
  readonly #copies = new Set<DropletCopy>();
  readonly #removals = new Set<Promise<void>>();
  #bytes = 0;
  #open = false;

  /** `directory` is this object's own: all in it is removed. */
  constructor(directory: string, log: Logger, bounds: Partial<KeptBounds> = {}) {
    this.#directory = directory;
    this.#log = log;
    this.#bounds = { ...BOUNDS, ...bounds };
  }

  /** Empties the directory. Before it, and where that fails, nothing is kept. */
  async open(): Promise<void> {
    try {
      await rm(this.#directory, { recursive: true, force: true });
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      this.#open = true;
    } catch (error) {
      this.#log.warn('no droplets are kept for their first start', { error: messageOf(error) });
    }
  }

  /** A copy of a droplet that is about to be uploaded. Disposed of before it is kept, it leaves nothing. */
  copy(): DropletCopy {
    const copy = new DropletCopy(join(this.#directory, randomUUID()), this.#bounds, {
      reserve: (bytes) => this.#reserve(bytes),
      remove: (path, bytes, closed) => this.#remove(path, bytes, closed),
      keep: (sha256, path, bytes) => this.#keep(sha256, path, bytes),
      over: (ended) => this.#copies.delete(ended),
      log: this.#log,
    });
    if (this.#open) this.#copies.add(copy);
    else copy.drop();
    return copy;
  }

  has(sha256: string): boolean {
    return this.#kept.has(sha256);
  }

  /** The content, whose digest is the reader's to check: a disk may have damaged it. Null where it is not kept. */
  read(sha256: string): Readable | null {
    const found = this.#kept.get(sha256);
    return found ? readFileLater(found.path) : null;
  }

  /** Removes it where it is kept; `failure` is told where it was of no use. */
  drop(sha256: string, failure?: unknown): void {
    const found = this.#kept.get(sha256);
    if (!found) return;
    if (failure) this.#log.warn('a kept droplet is fetched after all', { sha256, error: messageOf(failure) });
    clearTimeout(found.expiry);
    this.#kept.delete(sha256);
    this.#remove(found.path, found.bytes);
  }

  /** Resolves when nothing is left of it, in files and in this process. */
  async close(): Promise<void> {
    this.#open = false;
    for (const copy of this.#copies) copy.drop();
    for (const sha256 of this.#kept.keys()) this.drop(sha256);
    await Promise.all(this.#removals);
  }

  /** Room for more bytes of a copy, at the cost of the oldest. */
  #reserve(bytes: number): boolean {
    for (const sha256 of this.#kept.keys()) {
      if (this.#bytes + bytes <= this.#bounds.totalBytes) break;
      this.drop(sha256);
    }
    if (this.#bytes + bytes > this.#bounds.totalBytes) return false;
    this.#bytes += bytes;
    return true;
  }

  #keep(sha256: string, path: string, bytes: number): void {
    this.drop(sha256);
    const expiry = setTimeout(() => this.drop(sha256), this.#bounds.keptMs).unref();
    this.#kept.set(sha256, { path, bytes, expiry });
  }

  #remove(path: string, bytes: number, closed: Promise<void> = Promise.resolve()): Promise<void> {
    this.#bytes -= bytes;
    const removal = closed
      .then(() => rm(path, { force: true }))
      .catch((error: unknown) => {
        this.#log.warn('a kept droplet was not removed; the next start of the cell does it', {
          error: messageOf(error),
        });
      })
      .then(() => void this.#removals.delete(removal));
    this.#removals.add(removal);
    return removal;
  }
}

/** What a copy asks of those it is one of. */
interface CopyOwner {
  reserve(bytes: number): boolean;
  remove(path: string, bytes: number, closed: Promise<void>): Promise<void>;
  keep(sha256: string, path: string, bytes: number): void;
  over(copy: DropletCopy): void;
  log: Logger;
}

/** A file that a droplet is written to beside its upload, which it neither holds up nor fails: it is given up instead. */
class DropletCopy implements AsyncDisposable {
  readonly #path: string;
  readonly #bounds: KeptBounds;
  readonly #owner: CopyOwner;
  #stream: WriteStream | null = null;
  #bytes = 0;
  #over = false;
  #removed: Promise<void> | null = null;

  constructor(path: string, bounds: KeptBounds, owner: CopyOwner) {
    this.#path = path;
    this.#bounds = bounds;
    this.#owner = owner;
  }

  /** How long it will be: what is too long is not begun. */
  expect(bytes: number): void {
    if (bytes > this.#bounds.eachBytes) this.#giveUp('it is too large');
  }

  write(chunk: Buffer): void {
    if (this.#over) return;
    if (this.#bytes + chunk.length > this.#bounds.eachBytes) this.#giveUp('it is too large');
    else if (!this.#owner.reserve(chunk.length)) this.#giveUp('others take the room');
    else this.#put(chunk);
  }

  /** Keeps what was written, which is this. Never rejects: where it cannot be written it is not kept. */
  async keep({ sha256, bytes }: BlobInfo): Promise<void> {
    if (this.#over || !this.#stream) return;
    this.#stream.end();
    await finished(this.#stream).catch(() => {}); // said where it failed
    if (this.#over) return;
    if (bytes !== this.#bytes) return this.drop();
    this.#end();
    this.#owner.keep(sha256, this.#path, bytes);
  }

  /** Leaves no file, where it is not kept. */
  drop(): void {
    if (this.#over) return;
    this.#end();
    const stream = this.#stream?.destroy();
    if (!stream) return;
    const closed = stream.closed ? Promise.resolve() : new Promise<void>((resolve) => stream.once('close', resolve));
    this.#removed = this.#owner.remove(this.#path, this.#bytes, closed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.drop();
    await this.#removed;
  }

  #put(chunk: Buffer): void {
    this.#bytes += chunk.length;
    this.#stream ??= this.#begin();
    const keepsUp = this.#stream.write(chunk);
    if (!keepsUp) this.#giveUp('the disk is slower than its upload');
    else if (this.#stream.writableLength >= PART_BYTES) {
      this.#stream.uncork();
      this.#stream.cork();
    }
  }

  #begin(): WriteStream {
    const options = { flags: 'wx', mode: 0o600, highWaterMark: this.#bounds.waitingBytes };
    const stream = createWriteStream(this.#path, options).on('error', (error) => {
      if (this.#over) return;
      this.#owner.log.warn('a droplet could not be kept for its first start', { error: messageOf(error) });
      this.drop();
    });
    stream.cork();
    return stream;
  }

  #giveUp(reason: string): void {
    if (this.#over) return;
    this.#owner.log.info('a droplet is not kept for its first start', { reason });
    this.drop();
  }

  #end(): void {
    this.#over = true;
    this.#owner.over(this);
  }
}
