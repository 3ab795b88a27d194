import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import Type, { type Static } from 'typebox';
import { linkSignals, onAbort, unlessAborted } from '../../kit/abort.ts';
import { CupolaError } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import type { ContainerLimits, Layer, LayerSource, LayerWanted } from './garden.ts';
import { mountsBelow, unmountBelow } from './mounts.ts';
import { readJson, writeJson } from './records.ts';
import { layerTree, layerVolume, type Unpack, type UnpackOrder } from './unpacking.ts';

const LayerRecord = Type.Object({
  key: Type.String(),
  /** Layers are a cache on file systems without journal: after a reboot they are made anew. */
  bootId: Type.String(),
});

/** Longer than the slowest registry may take for a layer. */
export const MAKING_MS = 30 * 60_000;
/** How often it is looked whether the disk has room still. */
const LOOK_MS = 1_000;

/** A layer on its way. It is its first asker's: of their source, within their limits, and it ends with their signal. */
interface Making {
  key: string;
  origin: string | undefined;
  limits: ContainerLimits;
  signal: AbortSignal | undefined;
  done: Promise<Layer>;
}

/**
 * Unpacked archives, each in a directory of its own making on a bounded file system, and shown ID-mapped to every container that uses it.
 * What is ready is shared by its key; what is on its way only with whoever would make the very same.
 */
export class LayerCache {
  readonly #directory: string;
  readonly #unpack: Unpack;
  readonly #limits: ContainerLimits;
  readonly #hasRoom: () => Promise<boolean>;
  readonly #makingMs: number;
  readonly #log: Logger;
  /** By key, the name of the directory. */
  readonly #ready = new Map<string, string>();
  readonly #making = new Set<Making>();
  /** By key, those for whom it must stay. */
  readonly #held = new Map<string, Set<AbortSignal>>();
  #pruned: Promise<void> = Promise.resolve();
  #bootId = '';

  /** `limits`: of an unpacking that is not told its own. `hasRoom`: whether the disk has room for more; where that cannot be told, it has. */
  constructor(options: {
    directory: string;
    unpack: Unpack;
    limits: ContainerLimits;
    hasRoom: () => Promise<boolean>;
    makingMs?: number;
    log: Logger;
  }) {
    this.#directory = options.directory;
    this.#unpack = options.unpack;
    this.#limits = options.limits;
    this.#hasRoom = () => options.hasRoom().catch(() => true);
    this.#makingMs = options.makingMs ?? MAKING_MS;
    this.#log = options.log;
  }

  /** Finds the layers of an earlier cell process; removes half-made ones and those from before a reboot. */
  async adopt(bootId: string): Promise<void> {
    this.#bootId = bootId;
    for (const name of await readdir(this.#directory)) {
      const directory = join(this.#directory, name);
      const record = await readJson(join(directory, 'layer.json'), LayerRecord);
      const whole = record?.bootId === bootId && mountsBelow(layerVolume(directory)).length > 0;
      if (record && whole && !this.#ready.has(record.key)) this.#ready.set(record.key, name);
      else await removeDirectory(directory);
    }
  }

  /** The tree of a layer. Throws `layer_missing`. */
  path(key: string): string {
    const name = this.#ready.get(key);
    if (name === undefined) throw new CupolaError('layer_missing', `layer ${key} was not unpacked`);
    return layerTree(join(this.#directory, name));
  }

  /** See `Garden.ensureLayer`. */
  async ensure(
    key: string,
    source: LayerSource,
    destination: string,
    stack: string,
    { signal, until = signal, limits: wanted }: LayerWanted = {},
  ): Promise<Layer> {
    const limits = { ...this.#limits, ...wanted };
    limits.diskBytes = Math.min(limits.diskBytes, this.#limits.diskBytes);
    if (until) this.#hold(key, until);
    for (;;) {
      signal?.throwIfAborted();
      if (this.#ready.has(key)) return { key };
      const making =
        this.#joinable(key, source, limits) ?? this.#begin(key, { source, destination, stack, limits }, signal);
      try {
        return await unlessAborted(making.done, signal);
      } catch (error) {
        signal?.throwIfAborted();
        if (!making.signal?.aborted) throw error; // as its own would have
      }
    }
  }

  /** Removes what is not kept, in use or held, which is asked at each when its turn comes. One at a time: who comes later finds all of it gone. */
  prune(isKept: (key: string) => boolean): Promise<void> {
    const pruned = this.#pruned.then(() => this.#prune(isKept));
    this.#pruned = pruned.catch(() => {});
    return pruned;
  }

  async #prune(isKept: (key: string) => boolean): Promise<void> {
    // As they are now: one that is made again meanwhile is not among them.
    for (const [key, name] of [...this.#ready]) {
      if (this.#held.has(key) || isKept(key)) continue;
      this.#ready.delete(key);
      await removeDirectory(join(this.#directory, name));
    }
  }

  #hold(key: string, until: AbortSignal): void {
    const holders = this.#held.get(key) ?? new Set();
    if (holders.has(until)) return;
    this.#held.set(key, holders.add(until));
    onAbort(until, () => {
      holders.delete(until);
      if (holders.size === 0) this.#held.delete(key);
    });
  }

  /** Another's making that one's own would be no better than: of the same origin, and with no less to use. */
  #joinable(key: string, { origin }: LayerSource, limits: ContainerLimits): Making | undefined {
    return [...this.#making].find(
      (making) =>
        making.key === key && making.origin === origin && !making.signal?.aborted && isWithin(limits, making.limits),
    );
  }

  #begin(key: string, order: UnpackOrder, signal: AbortSignal | undefined): Making {
    const { limits, source } = order;
    const done = this.#bounded(key, order, signal).finally(() => this.#making.delete(making));
    done.catch(() => {}); // told to whoever waits
    const making: Making = { key, origin: source.origin, limits, signal, done };
    this.#making.add(making);
    return making;
  }

  /** Within time, and while the disk has room. */
  async #bounded(key: string, order: UnpackOrder, signal: AbortSignal | undefined): Promise<Layer> {
    if (!(await this.#hasRoom())) throw noRoom();
    const ending = new AbortController();
    using all = linkSignals(ending.signal, ...(signal ? [signal] : []));
    const late = setTimeout(() => {
      ending.abort(new CupolaError('layer_too_slow', `a layer was not made within ${this.#makingMs / 60_000} minutes`));
    }, this.#makingMs);
    const looks = setInterval(async () => {
      if (!(await this.#hasRoom())) ending.abort(noRoom());
    }, LOOK_MS);
    try {
      all.signal.throwIfAborted();
      return await this.#make(key, order, all.signal);
    } catch (error) {
      all.signal.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(late);
      clearInterval(looks);
    }
  }

  async #make(key: string, order: UnpackOrder, signal: AbortSignal): Promise<Layer> {
    const began = Date.now();
    const name = randomUUID();
    const directory = join(this.#directory, name);
    await mkdir(directory, { mode: 0o700 });
    try {
      await this.#unpack(directory, order, signal);
      signal.throwIfAborted();
      const record: Static<typeof LayerRecord> = { key, bootId: this.#bootId };
      await writeJson(join(directory, 'layer.json'), record);
    } catch (error) {
      await removeDirectory(directory);
      throw error;
    }
    if (this.#ready.has(key)) {
      await removeDirectory(directory); // another's was ready before
      return { key };
    }
    this.#ready.set(key, name);
    this.#log.info('layer unpacked', { layer: key, milliseconds: Date.now() - began });
    return { key };
  }
}

function isWithin(one: ContainerLimits, other: ContainerLimits): boolean {
  return one.memoryBytes <= other.memoryBytes && one.diskBytes <= other.diskBytes && one.cpuShares <= other.cpuShares;
}

async function removeDirectory(directory: string): Promise<void> {
  await unmountBelow(directory);
  await rm(directory, { recursive: true, force: true });
}

function noRoom(): CupolaError {
  return new CupolaError('disk_reserved', 'the disk has no room for another layer');
}
