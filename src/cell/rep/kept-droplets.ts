import { mkdir, rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { type DiskReserve, type DiskSizes, diskSizes } from '../../kit/disk-sizes.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { type CopyBounds, DropletCopy } from './droplet-copy.ts';
import { type KeptFile, KeptRoom, type RoomBounds } from './kept-room.ts';

const MEBIBYTE = 1024 * 1024;

export interface KeptBounds extends CopyBounds, RoomBounds {
  /** How long one waits for its start. */
  keptMs: number;
}

const BOUNDS: KeptBounds = {
  totalBytes: 1024 * MEBIBYTE,
  eachBytes: 512 * MEBIBYTE,
  keptMs: 10 * 60_000,
  // A staged droplet of the largest size, or a package of the largest as it comes and as a blob.
  spareBytes: 4096 * MEBIBYTE,
  lookMs: 1000,
  waitingBytes: 8 * MEBIBYTE,
  allWaitingBytes: 32 * MEBIBYTE,
  patienceMs: 2000,
};

interface KeptDroplet {
  file: KeptFile;
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
  readonly #room: KeptRoom;
  /** By digest. */
  readonly #kept = new Map<string, KeptDroplet>();
  readonly #copies = new Set<DropletCopy>();
  #open = false;

  /** `directory` is this object's own: all in it is removed. `reserve` and `ask` are of the disk it lies on. */
  constructor(options: {
    directory: string;
    reserve: DiskReserve;
    log: Logger;
    bounds?: Partial<KeptBounds>;
    ask?: () => Promise<DiskSizes>;
  }) {
    const { directory, reserve, log, ask = () => diskSizes(directory) } = options;
    this.#directory = directory;
    this.#log = log;
    this.#bounds = { ...BOUNDS, ...options.bounds };
    this.#room = new KeptRoom({ directory, bounds: this.#bounds, reserve, ask, log });
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
    const copy = new DropletCopy(this.#bounds, {
      room: this.#room,
      keep: (sha256, file) => this.#keep(sha256, file),
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
    return found ? this.#room.read(found.file) : null;
  }

  /** Removes it where it is kept; `failure` is told where it was of no use. */
  drop(sha256: string, failure?: unknown): void {
    const found = this.#kept.get(sha256);
    if (!found) return;
    if (failure) this.#log.warn('a kept droplet is fetched after all', { sha256, error: messageOf(failure) });
    clearTimeout(found.expiry);
    this.#kept.delete(sha256);
    void this.#room.remove(found.file);
  }

  /** Resolves when nothing is left of it, in files and in this process. */
  async close(): Promise<void> {
    this.#open = false;
    for (const copy of this.#copies) copy.drop();
    for (const sha256 of [...this.#kept.keys()]) this.drop(sha256);
    await this.#room.removed();
  }

  #keep(sha256: string, file: KeptFile): void {
    this.drop(sha256);
    const expiry = setTimeout(() => this.drop(sha256), this.#bounds.keptMs).unref();
    this.#kept.set(sha256, { file, expiry });
    this.#room.keep(file, () => this.drop(sha256));
  }
}
