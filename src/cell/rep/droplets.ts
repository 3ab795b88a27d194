import { createHash } from 'node:crypto';
import { pipeline, type Readable, Transform } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { Blob } from '../../contracts/gen/diego_pb.js';
import { CupolaError, codeOf, messageOf } from '../../kit/errors.ts';
import { madeOf } from '../../kit/streams.ts';
import type { Garden, Layer, LayerWanted } from '../garden/garden.ts';
import type { BlobTransport } from './blob-transport.ts';
import type { KeptDroplets } from './kept-droplets.ts';

/** Where droplets are unpacked: their ./app becomes /home/vcap/app. */
const DESTINATION = '/home/vcap';
/** What a layer fails with where the file it was made of is another, or cannot be read to its end. */
const OF_NO_USE: ReadonlySet<string | undefined> = new Set([
  'droplet_mismatch',
  'kept_droplet_unreadable',
  'archive_cut_off',
]);

/** Droplets as read-only layers, each brought here once and shared by all instances on the cell. */
export class DropletLayers {
  readonly #garden: Garden;
  readonly #blobs: BlobTransport;
  readonly #kept: KeptDroplets;

  constructor(garden: Garden, blobs: BlobTransport, kept: KeptDroplets) {
    this.#garden = garden;
    this.#blobs = blobs;
    this.#kept = kept;
  }

  /**
   * The layer of a droplet: of what was kept here when it was staged, or else of what is fetched, whose number of bytes `fetched` is
   * called with. Throws CupolaError `droplet_mismatch` when the content is not what the digest says, and as `Garden.ensureLayer` does.
   */
  async ensure(
    droplet: Blob | undefined,
    stack: string,
    { fetched, ...wanted }: LayerWanted & { fetched?: (bytes: number) => void } = {},
  ): Promise<Layer> {
    if (!droplet || !/^[0-9a-f]{64}$/.test(droplet.sha256)) {
      throw new CupolaError('droplet_unknown', 'the work names no droplet');
    }
    const { sha256, url: origin } = droplet;
    const layerOf = (open: (signal: AbortSignal) => Promise<Readable>) =>
      this.#garden.ensureLayer(dropletLayerKey(sha256), { format: 'tar', origin, open }, DESTINATION, stack, wanted);
    const fetching = async (signal: AbortSignal) => verified(await this.#blobs.fetch(droplet, signal), sha256, fetched);
    if (!this.#kept.has(sha256)) return layerOf(fetching);
    try {
      return await layerOf(async (signal) => this.#readKept(sha256) ?? fetching(signal));
    } catch (error) {
      if (!(await this.#isOfNoUse(sha256, error))) throw error;
      this.#kept.drop(sha256, error);
      return await layerOf(fetching);
    } finally {
      // Who was stopped before the layer was there may be started again.
      if (!wanted.signal?.aborted) this.#kept.drop(sha256);
    }
  }

  #readKept(sha256: string): Readable | null {
    const file = this.#kept.read(sha256);
    return file && verified(madeOf(file, readable), sha256);
  }

  /** Whether it may have been the kept file that failed, and not the droplet itself or its unpacking. */
  async #isOfNoUse(sha256: string, error: unknown): Promise<boolean> {
    if (codeOf(error) !== 'archive_refused') return OF_NO_USE.has(codeOf(error));
    // What unpacks it may have met the damage before the digest did.
    const file = this.#readKept(sha256);
    if (!file) return true; // it went meanwhile
    try {
      await finished(file.resume());
      return false;
    } catch {
      return true;
    }
  }
}

async function* readable(file: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* file;
  } catch (cause) {
    throw new CupolaError('kept_droplet_unreadable', messageOf(cause), { cause });
  }
}

export function dropletLayerKey(sha256: string): string {
  return sha256;
}

/** Passes the content on and fails at its end if the digest is another. */
function verified(body: Readable, sha256: string, done?: (bytes: number) => void): Readable {
  const hash = createHash('sha256');
  let bytes = 0;
  const check = new Transform({
    transform(chunk: Buffer, _encoding, next) {
      hash.update(chunk);
      bytes += chunk.length;
      next(null, chunk);
    },
    flush(next) {
      if (hash.digest('hex') === sha256) {
        done?.(bytes);
        next();
      } else {
        next(new CupolaError('droplet_mismatch', 'the droplet is not what its digest says'));
      }
    },
  });
  // An error of `body` reaches whoever reads.
  return pipeline(body, check, () => {});
}
