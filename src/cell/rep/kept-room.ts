import { randomUUID } from 'node:crypto';
import { createWriteStream, type WriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { DiskReserve, DiskSizes } from '../../kit/disk-sizes.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { readFileLater } from '../../kit/streams.ts';

const NO_ROOM = 'the disk has no room to spare';
/** A droplet that is being uploaded may be written twice on this disk: as a copy and as a blob. */
const COPY_AND_BLOB = 2;

export interface RoomBounds {
  /** Of all of them, those that are still being written with them. */
  totalBytes: number;
  /** What is left to uploads, above the reserve of the disk. */
  spareBytes: number;
  /** How often it is looked whether it is, while there is a file. */
  lookMs: number;
}

/** A file that has room here: from before its first byte until nothing on the disk is left of it. */
export interface KeptFile {
  readonly path: string;
  /** As announced. */
  readonly bytes: number;
  /** What it is, or was, written by. */
  stream: WriteStream | null;
  readers: number;
  state: 'coming' | 'kept' | 'leaving' | 'removed' | 'stuck';
  /** Has it removed by whoever has it. */
  giveUp: (reason: string) => void;
}

/**
 * What all kept droplets take together, of the disk and of memory. Uploads come first: above the reserve of the disk, room for the largest
 * of them is left, and where it is not any more, kept droplets go.
 */
export class KeptRoom {
  readonly #directory: string;
  readonly #bounds: RoomBounds;
  readonly #reserve: DiskReserve;
  readonly #ask: () => Promise<DiskSizes>;
  readonly #log: Logger;
  /** The oldest first. */
  readonly #files = new Set<KeptFile>();
  readonly #removals = new Set<Promise<void>>();
  #looking = false;

  constructor(options: {
    directory: string;
    bounds: RoomBounds;
    reserve: DiskReserve;
    ask: () => Promise<DiskSizes>;
    log: Logger;
  }) {
    this.#directory = options.directory;
    this.#bounds = options.bounds;
    this.#reserve = options.reserve;
    this.#ask = options.ask;
    this.#log = options.log;
  }

  /** What waits in memory for the disk. */
  get waitingBytes(): number {
    return sum(this.#files, ({ stream }) => stream?.writableLength ?? 0);
  }

  /**
   * Room for a file of so many bytes, at the cost of the oldest; or why there is none. `giveUp` is called where there is none any more.
   * Rejects where the disk cannot be asked.
   */
  async take(bytes: number, giveUp: (reason: string) => void): Promise<KeptFile | string> {
    const beyond = () => sum(this.#files, (file) => file.bytes) + bytes - this.#bounds.totalBytes;
    if (beyond() > 0) await this.#gain(beyond());
    if (beyond() > 0) return 'others take the room';
    const path = join(this.#directory, randomUUID());
    const file: KeptFile = { path, bytes, stream: null, readers: 0, state: 'coming', giveUp };
    this.#files.add(file);
    let fits = false;
    try {
      const missing = await this.#missing(COPY_AND_BLOB);
      fits = missing <= 0 || ((await this.#gain(missing)) && (await this.#missing(COPY_AND_BLOB)) <= 0);
      if (!fits) return NO_ROOM;
      this.#lookLater();
      return file;
    } finally {
      if (!fits) this.#files.delete(file);
    }
  }

  /** Writes it, of which so much may wait in memory. */
  write(file: KeptFile, highWaterMark: number): WriteStream {
    file.stream = createWriteStream(file.path, { flags: 'wx', mode: 0o600, highWaterMark });
    return file.stream;
  }

  /** It is written: from now on `drop` gives it up. */
  keep(file: KeptFile, drop: () => void): void {
    file.state = 'kept';
    file.giveUp = drop;
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
        file.state = 'stuck';
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

  /** Drops the oldest until so many bytes more are free; none where all of them would not be enough, which it gives. */
  async #gain(bytes: number): Promise<boolean> {
    const unread = [...this.#files].filter(({ readers }) => readers === 0);
    const kept = unread.filter(({ state }) => state === 'kept');
    let missing = bytes - sum(unread, (file) => (file.state === 'leaving' ? file.bytes : 0));
    if (sum(kept, (file) => file.bytes) < missing) return false;
    for (const file of kept) {
      if (missing <= 0) break;
      file.giveUp(NO_ROOM);
      missing -= file.bytes;
    }
    await this.removed();
    return true;
  }

  /** How many bytes too few are free once all that is still coming is written so many times. */
  async #missing(times: number): Promise<number> {
    const sizes = await this.#ask();
    const coming = sum(this.#files, ({ state, bytes, stream }) =>
      state === 'coming' ? bytes - (stream?.bytesWritten ?? 0) : 0,
    );
    return this.#reserve(sizes) + this.#bounds.spareBytes + times * coming - sizes.free;
  }

  #lookLater(): void {
    if (this.#looking) return;
    this.#looking = true;
    setTimeout(async () => {
      await this.#look();
      this.#looking = false;
      if (this.#files.size > 0) this.#lookLater();
    }, this.#bounds.lookMs).unref();
  }

  /** What others write takes the room: the oldest go, or else everything. */
  async #look(): Promise<void> {
    const missing = await this.#missing(0).catch(() => Number.POSITIVE_INFINITY);
    if (missing <= 0 || (await this.#gain(missing))) return;
    for (const file of this.#files) {
      if (file.state === 'coming' || file.state === 'kept') file.giveUp(NO_ROOM);
    }
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
