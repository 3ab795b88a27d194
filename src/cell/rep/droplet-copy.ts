import type { WriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import type { BlobInfo } from '../../contracts/blobs.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { PART_BYTES } from '../../kit/streams.ts';
import type { KeptFile, KeptRoom } from './kept-room.ts';

/**
 * What a container sends is in its hands: parts of a few bytes, which wait until they are many, take much more memory than they count.
 * So many there may be, and one more for so many bytes.
 */
const MOST_PARTS = 1024;
const LEAST_BYTES = 4096;

const SLOW = 'the disk is slower than its upload';

export interface CopyBounds {
  /** Of one. */
  eachBytes: number;
  /** What may wait in memory for the disk, of one. */
  waitingBytes: number;
  /** The same, of all together. */
  allWaitingBytes: number;
  /** How long one may hold up its staging, all in all. */
  patienceMs: number;
}

/** What a copy needs of those it is one of. */
export interface CopyOwner {
  room: KeptRoom;
  keep(sha256: string, file: KeptFile): void;
  over(copy: DropletCopy): void;
  log: Logger;
}

/** A file that a droplet is written to beside its upload, which it neither holds up nor fails: it is given up instead. */
export class DropletCopy implements AsyncDisposable {
  readonly #bounds: CopyBounds;
  readonly #owner: CopyOwner;
  #file: KeptFile | null = null;
  #stream: WriteStream | null = null;
  #bytes = 0;
  #parts = 0;
  #patienceMs: number;
  #over = false;
  #removed: Promise<void> = Promise.resolve();

  constructor(bounds: CopyBounds, owner: CopyOwner) {
    this.#bounds = bounds;
    this.#owner = owner;
    this.#patienceMs = bounds.patienceMs;
  }

  /** How long it will be. Before it, and where there is no room for all of it, nothing is written. Never rejects. */
  async expect(bytes: number, signal?: AbortSignal): Promise<void> {
    if (this.#over) return;
    if (bytes > this.#bounds.eachBytes) return this.#giveUp('it is too large');
    const taking = this.#owner.room
      .take(bytes, (reason) => this.#giveUp(reason))
      .then(
        (taken) => this.#begin(taken),
        (error: unknown) => this.#fail(error),
      );
    if (!(await this.#within(taking, signal))) this.#giveUp(late(signal, 'the disk does not answer in time'));
  }

  write(chunk: Buffer): void {
    // Destroyed by a failure, which it tells once its file is closed.
    if (this.#over || !this.#file || !this.#stream || this.#stream.destroyed) return;
    this.#bytes += chunk.length;
    this.#parts += 1;
    if (this.#bytes > this.#file.bytes) this.#giveUp('it is longer than was said');
    else if (this.#parts > MOST_PARTS + this.#bytes / LEAST_BYTES) this.#giveUp('it comes in parts too small');
    else if (!this.#stream.write(chunk) || this.#owner.room.waitingBytes > this.#bounds.allWaitingBytes) {
      this.#giveUp(SLOW);
    } else if (this.#stream.writableLength >= PART_BYTES) {
      this.#stream.uncork();
      this.#stream.cork();
    }
  }

  /** Keeps what was written, which is this. Never rejects: where it cannot be written, or not in time, it is not kept. */
  async keep({ sha256, bytes }: BlobInfo, signal?: AbortSignal): Promise<void> {
    if (this.#over || !this.#file || !this.#stream) return;
    this.#stream.end();
    const written = finished(this.#stream).catch(() => {}); // said where it failed
    if (!(await this.#within(written, signal))) this.#giveUp(late(signal, SLOW));
    if (this.#over) return;
    if (bytes !== this.#bytes || bytes !== this.#file.bytes) return this.drop();
    this.#end();
    this.#owner.keep(sha256, this.#file);
  }

  /** Leaves no file, where it is not kept. */
  drop(): void {
    if (this.#over) return;
    this.#end();
    this.#stream?.destroy();
    if (this.#file) this.#removed = this.#owner.room.remove(this.#file);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.drop();
    await this.#within(this.#removed);
  }

  #begin(taken: KeptFile | string): void {
    if (typeof taken === 'string') this.#giveUp(taken);
    else if (this.#over) this.#removed = this.#owner.room.remove(taken);
    else {
      this.#stream = this.#owner.room.write(taken, this.#bounds.waitingBytes).on('error', (error) => this.#fail(error));
      this.#stream.cork();
      this.#file = taken;
    }
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#owner.log.warn('a droplet could not be kept for its first start', { error: messageOf(error) });
    this.drop();
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

  /** Whether it ended while this may hold up its staging, which `signal` cancels. */
  async #within(work: Promise<void>, signal?: AbortSignal): Promise<boolean> {
    const began = performance.now();
    const { promise, resolve } = Promise.withResolvers<false>();
    const giveUp = () => resolve(false);
    const timer = setTimeout(giveUp, this.#patienceMs);
    if (signal?.aborted) giveUp();
    signal?.addEventListener('abort', giveUp);
    try {
      return await Promise.race([promise, work.then(() => true)]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
      this.#patienceMs = Math.max(0, this.#patienceMs - (performance.now() - began));
    }
  }
}

function late(signal: AbortSignal | undefined, reason: string): string {
  return signal?.aborted ? 'its staging was cancelled' : reason;
}
