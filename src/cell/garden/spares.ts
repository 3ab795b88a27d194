import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { type IdMap, openIdMap } from './user-namespaces.ts';
import { copyImage, formatImage } from './volume.ts';

/** Waits for the end of a burst: what is made ready for the next container must not slow the one that starts. */
const QUIET_MS = 100;
/** Apps of a cell have a few sizes; of another than the last used one is formatted when it is asked for. */
const SIZES = 3;

/** What the next container will need, as far as it can be known. */
export interface Next {
  bytes: number;
  /** From which id the container's range begins on the host. */
  onHost: number;
  /** Where the ids of each lower tree begin on disk. */
  onDisk: readonly number[];
}

/**
 * A formatted disk image of each size, one copy of it, and ID maps kept ready, because making them takes a process each and a third of the
 * time a container takes. Every copy and every map is used once. Nothing depends on them: what is not there is made on the spot.
 */
export class Spares {
  readonly #directory: string;
  readonly #log: Logger;
  /** By size; the one used last stands last. */
  readonly #images = new Map<number, Promise<string>>();
  /** Copies that wait for a container, by size. */
  readonly #copies = new Map<number, string>();
  readonly #maps = new Map<string, IdMap>();
  #timer: NodeJS.Timeout | undefined;
  #making: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /** Begins with an empty directory: what an earlier process made ready is not known any more. */
  async open(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
  }

  /** Puts an empty, formatted image of that size at `path`. */
  async image(path: string, bytes: number): Promise<void> {
    const copy = this.#copies.get(bytes);
    this.#copies.delete(bytes);
    if (copy === undefined) await copyImage(await this.#formatted(bytes), path);
    else await rename(copy, path);
  }

  /** The caller disposes of it. Throws `user_namespace_failed`. */
  async idMap(onDisk: number, onHost: number): Promise<IdMap> {
    const key = `${onDisk} ${onHost}`;
    const spare = this.#maps.get(key);
    this.#maps.delete(key);
    return spare ?? openIdMap(onDisk, onHost);
  }

  /** Makes ready what the next container needs, once it is quiet. */
  prepare(next: Next): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#making = this.#making
        .then(() => this.#make(next))
        .catch((error: unknown) => {
          this.#log.warn('nothing could be made ready for the next container', { error: messageOf(error) });
        });
    }, QUIET_MS);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#making;
    this.#dropMaps(new Set());
    for (const size of [...this.#images.keys()]) await this.#drop(size);
  }

  async #make({ bytes, onHost, onDisk }: Next): Promise<void> {
    this.#dropMaps(new Set(onDisk.map((first) => `${first} ${onHost}`)));
    for (const first of onDisk) {
      const key = `${first} ${onHost}`;
      if (!this.#maps.has(key)) this.#maps.set(key, await openIdMap(first, onHost));
    }
    const empty = await this.#formatted(bytes);
    if (!this.#copies.has(bytes)) {
      const path = join(this.#directory, `${randomUUID()}.img`);
      await copyImage(empty, `${path}.making.img`);
      await rename(`${path}.making.img`, path);
      this.#copies.set(bytes, path);
    }
    for (const size of [...this.#images.keys()].slice(0, -SIZES)) await this.#drop(size);
  }

  /** One that is there, or is made for all who wait for it. */
  #formatted(bytes: number): Promise<string> {
    const found = this.#images.get(bytes) ?? this.#format(bytes);
    this.#images.delete(bytes);
    this.#images.set(bytes, found);
    return found;
  }

  async #format(bytes: number): Promise<string> {
    const path = join(this.#directory, `${randomUUID()}.empty.img`);
    try {
      await formatImage(path, bytes);
      return path;
    } catch (error) {
      this.#images.delete(bytes);
      throw error;
    }
  }

  async #drop(bytes: number): Promise<void> {
    const image = this.#images.get(bytes);
    const copy = this.#copies.get(bytes);
    this.#images.delete(bytes);
    this.#copies.delete(bytes);
    if (copy !== undefined) await rm(copy, { force: true });
    await image?.then((path) => rm(path, { force: true })).catch(() => {}); // it was not made
  }

  #dropMaps(keep: ReadonlySet<string>): void {
    for (const [key, map] of this.#maps) {
      if (keep.has(key)) continue;
      map[Symbol.dispose]();
      this.#maps.delete(key);
    }
  }
}
