import type { HeldRoom } from '../contracts/blobs.ts';
import { type DiskReserve, type DiskSizes, diskSizes } from '../kit/disk-sizes.ts';
import { CupolaError } from '../kit/errors.ts';

/** The file system is asked again after so much was written, or so much time. */
const ASK_AFTER_BYTES = 32 * 1024 ** 2;
const ASK_AFTER_MS = 1000;

/**
 * Of what is free, what is held for one owner at most, however much they announce: others find the rest. Beyond that they take room
 * as they write, where there is some.
 */
const OWNER_SHARE = 0.25;

/** What a writer was let begin with. */
interface Promised {
  owners: readonly string[];
  /** Of what was asked for, what is not written yet. */
  left: number;
  /** Of that, what nobody else gets. */
  held: number;
}

/** Whoever writes within bounds. */
export type Room = Pick<HeldRoom, 'write'>;

/**
 * Room on the disk of the blobs, of which a reserve is left to others: PostgreSQL lies on the same disk and must never meet
 * its end because of uploads. What all writers of this process take, or is held for them, counts at once, whatever the file
 * system says yet. What an owner asked for counts for that owner wholly, for everybody else as far as it is held.
 */
export class DiskRoom {
  readonly #reserve: DiskReserve;
  readonly #ask: () => Promise<DiskSizes>;
  readonly #clock: () => number;
  #known: Promise<DiskSizes> | undefined;
  #askedAt = 0;
  #pending = 0;
  readonly #promised = new Set<Promised>();
  #writtenSince = 0;

  constructor(
    directory: string,
    options: { reserve: DiskReserve; ask?: () => Promise<DiskSizes>; clock?: () => number },
  ) {
    this.#reserve = options.reserve;
    this.#ask = options.ask ?? (() => diskSizes(directory));
    this.#clock = options.clock ?? (() => performance.now());
  }

  /**
   * Lets somebody begin to write so much, where there is room for all of it, and holds what is theirs of it: nobody else gets that
   * until it is released. Who has one of these names is the same owner. Throws `blob_disk_full`.
   */
  async hold(bytes: number, owners: readonly string[]): Promise<HeldRoom> {
    const sizes = await this.#sizes();
    const all = [...this.#promised];
    const own = all.filter((other) => other.owners.some((name) => owners.includes(name)));
    const beside = this.#free(sizes) - sum(all, 'held') + sum(own, 'held');
    if (beside - sum(own, 'left') < bytes) throw full();
    const share = beside * OWNER_SHARE - sum(own, 'held');
    const promised = { owners, left: bytes, held: Math.min(bytes, Math.max(0, share)) };
    this.#promised.add(promised);
    return {
      write: (more, write) => this.#write(more, write, promised),
      release: () => void this.#promised.delete(promised),
    };
  }

  /** Throws `blob_disk_full` where there is no more than the reserve. What is held lies on no disk yet. */
  async checkFree(): Promise<void> {
    if (this.#free(await this.#sizes()) < 0) throw full();
  }

  /** Writes so much by `write`, where there is room. Throws `blob_disk_full`. */
  write(bytes: number, write: () => Promise<void>): Promise<void> {
    return this.#write(bytes, write, { owners: [], left: 0, held: 0 });
  }

  async #write(bytes: number, write: () => Promise<void>, own: Promised): Promise<void> {
    const sizes = await this.#sizes();
    // Nothing may come between: another writer would be let pass for the same room.
    const held = this.#promised.has(own) ? own.held : 0;
    const left = this.#free(sizes) - sum(this.#promised, 'held') + held - bytes;
    if (left < 0) throw full();
    own.left = Math.max(0, own.left - bytes);
    // What is held is for the end, and is taken before where there is nothing else.
    own.held = Math.min(own.held, own.left, left);
    this.#pending += bytes;
    try {
      await write();
    } finally {
      this.#pending -= bytes;
      this.#writtenSince += bytes;
    }
  }

  /** Above the reserve. */
  #free(sizes: DiskSizes): number {
    return sizes.free - this.#pending - this.#writtenSince - this.#reserve(sizes);
  }

  #sizes(): Promise<DiskSizes> {
    const now = this.#clock();
    if (this.#known && this.#writtenSince < ASK_AFTER_BYTES && now - this.#askedAt < ASK_AFTER_MS) return this.#known;
    this.#askedAt = now;
    this.#writtenSince = 0;
    this.#known = this.#ask();
    this.#known.catch(() => {
      this.#known = undefined;
    });
    return this.#known;
  }
}

function sum(promised: Iterable<Promised>, what: 'left' | 'held'): number {
  let bytes = 0;
  for (const one of promised) bytes += one[what];
  return bytes;
}

function full(): CupolaError {
  return new CupolaError('blob_disk_full', 'so much more would leave too little free on the disk of the blobs');
}
