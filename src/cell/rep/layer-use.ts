import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { unlessAborted } from '../../kit/abort.ts';
import { codeOf } from '../../kit/errors.ts';
import type { Container, ContainerSpec, Garden } from '../garden/garden.ts';
import { isImageLayer } from '../images/image-store.ts';

/** Longer than any takes. */
const DROPLET_MS = 15 * 60_000;
/** Buildpacks come back with the next push. */
const OTHER_MS = 7 * 24 * 3_600_000;
/** Of images, which may be large and whoever pushes chooses. */
const IMAGE_MS = 24 * 3_600_000;
/** Those asked for last, in use or not: each is a mounted file system, in the kernel's memory and among its mounts. What is in use stays anyway. */
const MOST_IMAGE_LAYERS = 300;

/** A garden that remembers when each layer was last asked for, so that what nobody needs can go. */
export class LayerUse implements Garden {
  readonly #garden: Garden;
  readonly #file: string;
  readonly #now: () => number;
  readonly #used: Map<string, number>;

  /** `file` keeps the times over a restart. */
  constructor(garden: Garden, file: string, now: () => number) {
    this.#garden = garden;
    this.#file = file;
    this.#now = now;
    this.#used = read(file);
  }

  create(spec: ContainerSpec): Promise<Container> {
    return this.#garden.create(spec);
  }
  list(): Promise<Container[]> {
    return this.#garden.list();
  }
  lookup(handle: string): Promise<Container | null> {
    return this.#garden.lookup(handle);
  }
  destroy(handle: string): Promise<void> {
    return this.#garden.destroy(handle);
  }

  /** Where the disk has no room, what nobody uses now goes first. */
  async ensureLayer(...asked: Parameters<Garden['ensureLayer']>): ReturnType<Garden['ensureLayer']> {
    const [key, , , , wanted] = asked;
    this.#note(key);
    try {
      return await this.#garden.ensureLayer(...asked);
    } catch (error) {
      if (codeOf(error) !== 'disk_reserved') throw error;
      await unlessAborted(this.#garden.pruneLayers(), wanted?.signal);
      return await this.#garden.ensureLayer(...asked);
    }
  }

  readLayers(...[layers, path]: Parameters<Garden['readLayers']>): ReturnType<Garden['readLayers']> {
    return this.#garden.readLayers(layers, path);
  }

  pruneLayers(...[isKept]: Parameters<Garden['pruneLayers']>): Promise<void> {
    return this.#garden.pruneLayers(isKept);
  }

  /** The latest is the last. */
  #note(key: string): void {
    this.#used.delete(key);
    this.#used.set(key, this.#now());
    const images = [...this.#used.keys()].filter(isImageLayer);
    for (const oldest of images.slice(0, -MOST_IMAGE_LAYERS)) this.#used.delete(oldest);
  }

  /** Removes layers that no container uses, that are not among `needed` and were not asked for lately. */
  async prune(needed: readonly string[]): Promise<void> {
    const now = this.#now();
    for (const [key, at] of this.#used) {
      if (now - at > keptMs(key)) this.#used.delete(key);
    }
    const kept = new Set(needed);
    await this.#garden.pruneLayers((key) => kept.has(key) || this.#used.has(key));
    await writeFile(`${this.#file}.new`, JSON.stringify([...this.#used]), { mode: 0o600 });
    await rename(`${this.#file}.new`, this.#file);
  }
}

function keptMs(key: string): number {
  if (isImageLayer(key)) return IMAGE_MS;
  return /^[0-9a-f]{64}$/.test(key) ? DROPLET_MS : OTHER_MS;
}

function read(file: string): Map<string, number> {
  try {
    const entries: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (!Array.isArray(entries)) return new Map();
    return new Map(entries.filter((entry): entry is [string, number] => Array.isArray(entry) && entry.length === 2));
  } catch {
    return new Map();
  }
}
