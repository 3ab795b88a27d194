import { randomUUID } from 'node:crypto';
import type { WriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { type DiskSizes, diskReserve, diskSizes } from '../../kit/disk-sizes.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { readFileLater } from '../../kit/streams.ts';

/** A file that has room here: from before its first byte until nothing on the disk is left of it. */
export interface KeptFile {
  readonly path: string;
  /** As announced. */
  readonly bytes: number;
  /** What it is, or was, written by. */
  stream: WriteStream | null;
  readers: number;
  state: 'wanted' | 'leaving' | 'removed';
}

/** What all kept droplets take together, of the disk and of memory. */
export class KeptRoom {
  readonly #directory: string;
  readonly #totalBytes: number;
  readonly #dropOldest: () => boolean;
  readonly #ask: () => Promise<DiskSizes>;
  readonly #log: Logger;
  readonly #files = new Set<KeptFile>();
  readonly #removals = new Set<Promise<void>>();

  /** `dropOldest` removes what can be done without, if there is any. */
  constructor(options: {
    directory: string;
    totalBytes: number;
    dropOldest: () => boolean;
    ask?: (() => Promise<DiskSizes>) | undefined;
    log: Logger;
  }) {
    this.#directory = options.directory;
    this.#totalBytes = options.totalBytes;
    this.#dropOldest = options.dropOldest;
    this.#ask = options.ask ?? (() => diskSizes(options.directory));
    this.#log = options.log;
  }

  /** What waits in memory for the disk. */
  get waitingBytes(): number {
    return sum(this.#files, ({ stream }) => stream?.writableLength ?? 0);
  }

  /** Room for a file of so many bytes, at the cost of the oldest; or why there is none. Rejects where the disk cannot be asked. */
  async take(bytes: number): Promise<KeptFile | string> {
    while (this.#taken(({ state }) => state === 'wanted') + bytes > this.#totalBytes && this.#dropOldest());
    if (this.#taken() + bytes > this.#totalBytes) await this.removed();
    if (this.#taken() + bytes > this.#totalBytes) return 'others take the room';
    const path = join(this.#directory, randomUUID());
    const file: KeptFile = { path, bytes, stream: null, readers: 0, state: 'wanted' };
    this.#files.add(file);
    let fits = false;
    try {
      fits = await this.#fits();
      if (!fits && this.#dropOldest()) {
        while (this.#dropOldest());
        await this.removed();
        fits = await this.#fits();
      }
      return fits ? file : 'the disk has no room to spare';
    } finally {
      if (!fits) this.#files.delete(file);
    }
  }

  read(file: KeptFile): Readable {
    file.readers += 1;
    return readFileLater(file.path).once('close', () => {
      file.readers -= 1;
      this.#free(file);
    });
  }

  /** Resolves when its name is gone. Its room is free once nobody reads it any more. */
  remove(file: KeptFile): Promise<void> {
    file.state = 'leaving';
    const removal = closed(file.stream)
      .then(() => rm(file.path, { force: true }))
      .then(() => {
        file.state = 'removed';
        this.#free(file);
      })
      .catch((error: unknown) => {
        this.#log.warn('a kept droplet was not removed; the next start of the cell does it', {
          error: messageOf(error),
        });
      })
      .then(() => void this.#removals.delete(removal));
    this.#removals.add(removal);
    return removal;
  }

  /** Resolves when all that is to go has gone. */
  async removed(): Promise<void> {
    await Promise.all(this.#removals);
  }

  #free(file: KeptFile): void {
    if (file.state === 'removed' && file.readers === 0) this.#files.delete(file);
  }

  #taken(which: (file: KeptFile) => boolean = () => true): number {
    return sum(this.#files, (file) => (which(file) ? file.bytes : 0));
  }

  /** Whether the reserve is left when all that was announced is written. */
  async #fits(): Promise<boolean> {
    const sizes = await this.#ask();
    const coming = sum(this.#files, ({ state, bytes, stream }) =>
      state === 'wanted' ? bytes - (stream?.bytesWritten ?? 0) : 0,
    );
    return sizes.free - coming >= diskReserve(sizes);
  }
}

function sum(files: Iterable<KeptFile>, what: (file: KeptFile) => number): number {
  let bytes = 0;
  for (const file of files) bytes += what(file);
  return bytes;
}

async function closed(stream: WriteStream | null): Promise<void> {
  if (stream && !stream.closed) await new Promise<void>((resolve) => stream.once('close', resolve));
}
