import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline, type Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import type { DockerImage } from '../../contracts/gen/diego_pb.js';
import { linkSignals } from '../../kit/abort.ts';
import { CupolaError } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { madeOf } from '../../kit/streams.ts';
import { together } from '../../kit/together.ts';
import { compressionOf } from '../garden/compression.ts';
import type { ContainerLimits, Garden, Layer, LayerWhiteouts } from '../garden/garden.ts';
import { digesting } from '../staging/digest.ts';
import { type ImageUser, resolveUser } from './image-user.ts';
import { cleanLayer, type LayerLimits } from './layer-filter.ts';
import { LayerProofs } from './layer-proofs.ts';
import { type Descriptor, type ImageConfig, type Manifest, readConfig, readManifest } from './manifest.ts';
import { type ImageReference, parseReference, pinned } from './reference.ts';
import { RegistryAccess, type RegistrySettings } from './registry-access.ts';
import { RegistryClient } from './registry-client.ts';

/** What an image is, before any of it is unpacked. */
export interface ImageDescription {
  /** By its digest. */
  reference: string;
  config: ImageConfig;
}

/** An image whose layers are there. */
export interface PreparedImage {
  layers: Layer[];
  config: ImageConfig;
  user: ImageUser;
  /** Fetched for this call; 0 where all of it was there. */
  fetchedBytes: number;
}

/** For whom an image is brought here. */
export interface ImageWanted {
  /** See `LayerWanted.until`; what is still on its way then ends. */
  signal: AbortSignal;
  /** What all that is unpacked for it at a time may use; its disk does not count. */
  limits?: Partial<ContainerLimits>;
}

/** Manifest and configuration as they came, kept by the digest that pins them. */
interface KeptImage {
  manifest: Manifest;
  config: string;
}

const KEY = 'image:';
const FETCH_MS = 20 * 60_000;
const AT_ONCE = 3;
const MOST_COMPRESSED = 8 * 1024 ** 3;
const LIMITS: LayerLimits = { unpackedBytes: 6 * 1024 ** 3, entries: 500_000 };
const DECOMPRESSORS = { gzip: createGunzip, zstd: createZstdDecompress };

export function isImageLayer(key: string): boolean {
  return key.startsWith(KEY);
}

/** The container images of one cell: fetched from their registries, each layer unpacked once and shared by all containers. */
export class ImageStore {
  readonly #garden: Garden;
  readonly #directory: string;
  readonly #access: RegistryAccess;
  readonly #log: Logger;
  readonly #limits: LayerLimits;
  readonly #proofs = new LayerProofs();

  /** `directory` keeps what is known of images over a restart; no secret is among it. */
  constructor(options: {
    garden: Garden;
    directory: string;
    registries: RegistrySettings;
    log: Logger;
    limits?: LayerLimits;
  }) {
    this.#garden = options.garden;
    this.#directory = options.directory;
    this.#access = new RegistryAccess(options.registries);
    this.#log = options.log;
    this.#limits = options.limits ?? LIMITS;
  }

  /** Asks the registry what an image is. Throws CupolaError `image_…` and `registry_…`, whose messages are for its developer. */
  async describe(image: DockerImage, signal: AbortSignal): Promise<ImageDescription> {
    const reference = parseReference(image.reference);
    const client = new RegistryClient(this.#access, reference, credentialsOf(image), signal);
    const { digest, manifest } = await client.manifest();
    const config = await client.json(manifest.config);
    checkSize(manifest);
    const described = { reference: pinned(reference, digest), config: checkedConfig(config, manifest) };
    await this.#keep(parseReference(described.reference), { manifest, config });
    return described;
  }

  /**
   * Brings a pinned image here: what is cached is not fetched again, and its registry not asked. Throws as `describe` and
   * `Garden.ensureLayer` do.
   */
  async prepare(
    image: DockerImage,
    stack: string,
    { signal: until, limits = {} }: ImageWanted,
  ): Promise<PreparedImage> {
    const reference = parseReference(image.reference);
    if (reference.digest === null) throw new CupolaError('image_invalid', 'the image was not pinned by its digest');
    using fetching = linkSignals(AbortSignal.timeout(FETCH_MS), until);
    const { signal } = fetching;
    const client = new RegistryClient(this.#access, reference, credentialsOf(image), signal);
    const { manifest, config: json } = (await this.#kept(reference)) ?? (await this.#fetch(client, reference));
    const config = checkedConfig(json, manifest);
    checkSize(manifest);
    const proven = await this.#provenOf(reference);
    let fetchedBytes = 0;
    const origin = originOf(reference, image);
    const wanted = { signal, until, limits: limitsOfEach(limits) };
    const all = await eachOf(manifest.layers, AT_ONCE, async (layer, index) => {
      const source = new LayerDownload({
        client,
        origin,
        layer,
        diffId: config.diffIds[index] ?? '',
        limits: this.#limits,
        proofs: this.#proofs,
      });
      const made = await this.#garden.ensureLayer(`${KEY}${layer.digest}`, source, '/', stack, wanted);
      // Another's layer is given only to who can show its bytes: knowing a digest is not having the content.
      if (!proven.has(layer.digest)) await this.#proofs.prove(source, signal);
      if (source.opened) fetchedBytes += layer.size;
      proven.add(layer.digest);
      return made;
    });
    // One file system can show a tree once: of a layer that is there twice only the upper one counts.
    const layers = all.filter(({ key }, index) => all.findLastIndex((other) => other.key === key) === index);
    if (fetchedBytes > 0) {
      await this.#keepProven(reference, proven);
      this.#log.info('image fetched', { registry: reference.registry, layers: layers.length, bytes: fetchedBytes });
    }
    const [passwd, group] = await Promise.all([
      this.#garden.readLayers(layers, 'etc/passwd'),
      this.#garden.readLayers(layers, 'etc/group'),
    ]);
    return { layers, config, user: resolveUser(config.user, passwd, group), fetchedBytes };
  }

  async #fetch(client: RegistryClient, reference: ImageReference): Promise<KeptImage> {
    const { digest, manifest } = await client.manifest();
    if (digest !== reference.digest) throw new CupolaError('image_invalid', 'the registry gave another image');
    const image = { manifest, config: await client.json(manifest.config) };
    await this.#keep(reference, image);
    return image;
  }

  /** Kept by repository as well as digest: who may not read the one learns nothing of the other. */
  #file(kind: 'image' | 'repository', reference: ImageReference): string {
    const { registry, repository, digest } = reference;
    const name = [registry, repository, ...(kind === 'image' ? [digest] : [])].join(' ');
    return join(this.#directory, `${kind}-${createHash('sha256').update(name).digest('hex')}.json`);
  }

  async #keep(reference: ImageReference, { manifest, config }: KeptImage): Promise<void> {
    await this.#write(this.#file('image', reference), {
      manifest: { schemaVersion: 2, ...manifest },
      config,
    });
  }

  async #kept(reference: ImageReference): Promise<KeptImage | null> {
    const kept = (await this.#read(this.#file('image', reference))) as { manifest?: unknown; config?: unknown } | null;
    if (!kept || typeof kept.config !== 'string') return null;
    const manifest = readManifest(JSON.stringify(kept.manifest));
    return 'descriptor' in manifest ? null : { manifest, config: kept.config };
  }

  /** Layers that this repository was seen to hold. */
  async #provenOf(reference: ImageReference): Promise<Set<string>> {
    const kept = await this.#read(this.#file('repository', reference));
    return new Set(Array.isArray(kept) ? kept.filter((item): item is string => typeof item === 'string') : []);
  }

  async #keepProven(reference: ImageReference, proven: ReadonlySet<string>): Promise<void> {
    const all = new Set([...(await this.#provenOf(reference)), ...proven]);
    await this.#write(this.#file('repository', reference), [...all].slice(-10_000));
  }

  async #read(file: string): Promise<unknown> {
    try {
      return JSON.parse(await readFile(file, 'utf8'));
    } catch {
      return null;
    }
  }

  async #write(file: string, value: unknown): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const temporary = `${file}.${crypto.randomUUID()}`;
    try {
      await writeFile(temporary, JSON.stringify(value), { mode: 0o600 });
      await rename(temporary, file);
    } finally {
      await rm(temporary, { force: true });
    }
  }
}

/** One layer on its way: fetched, its digests checked while it streams, unpacked, and cleaned of what no image may hold. */
class LayerDownload {
  readonly format = 'image' as const;
  /** Whether any of it was fetched; what the registry has shown its proofs say. */
  opened = false;
  readonly origin: string;
  readonly digest: string;
  readonly #client: RegistryClient;
  readonly #layer: Descriptor;
  readonly #diffId: string;
  readonly #limits: LayerLimits;
  readonly #proofs: LayerProofs;
  #whiteouts: LayerWhiteouts = { removed: [], opaque: [] };

  constructor(of: {
    client: RegistryClient;
    origin: string;
    layer: Descriptor;
    diffId: string;
    limits: LayerLimits;
    proofs: LayerProofs;
  }) {
    this.origin = of.origin;
    this.digest = of.layer.digest;
    this.#client = of.client;
    this.#layer = of.layer;
    this.#diffId = of.diffId;
    this.#limits = of.limits;
    this.#proofs = of.proofs;
  }

  readonly open = async (): Promise<Readable> => {
    this.opened = true;
    const { stream, whiteouts } = cleanLayer(await this.#plain(), this.#limits);
    this.#whiteouts = whiteouts;
    return stream;
  };

  readonly whiteouts = (): LayerWhiteouts => this.#whiteouts;

  /** Reads it to the end for its digest's sake. Throws where the registry does not have it. */
  readonly read = async (): Promise<void> => {
    this.opened = true;
    for await (const _ of await this.#blob()) {
      // only its digest counts
    }
  };

  /** Shown by the registry once its end has come: the digest is right then. */
  async #blob(): Promise<Readable> {
    const blob = await this.#client.blob(this.#layer);
    return blob.once('end', () => this.#proofs.add(this));
  }

  /** It ends with the blob, which may go on after what is compressed in it. */
  async #plain(): Promise<Readable> {
    const blob = await this.#blob();
    const { kind, whole } = await compressionOf(blob);
    const { stream } = digesting({
      expected: this.#diffId.slice('sha256:'.length),
      maximum: this.#limits.unpackedBytes * 2,
    });
    // An error of any part reaches whoever reads the last.
    pipeline([whole, ...(kind ? [DECOMPRESSORS[kind]()] : []), stream], () => {});
    return madeOf(stream, async function* (content) {
      yield* content;
      await finished(blob);
    });
  }
}

function checkedConfig(json: string, manifest: Manifest): ImageConfig {
  const config = readConfig(json);
  if (manifest.layers.length === 0) throw new CupolaError('image_unsupported', 'the image has no layers');
  if (config.diffIds.length !== manifest.layers.length) {
    throw new CupolaError('image_unsupported', 'the manifest names other layers than the image has');
  }
  return config;
}

function checkSize({ layers }: Manifest): void {
  const bytes = layers.reduce((sum, { size }) => sum + size, 0);
  if (bytes > MOST_COMPRESSED) throw new CupolaError('image_unsupported', 'the image is larger than is allowed');
}

function credentialsOf({ username, password }: DockerImage): { username: string; password: string } | null {
  return username === '' ? null : { username, password };
}

/** Who asks a registry, and whom: another's registry may keep its askers waiting, or know other passwords. */
function originOf({ registry, repository }: ImageReference, { username, password }: DockerImage): string {
  const all = JSON.stringify([registry, repository, username, password]);
  return createHash('sha256').update(all).digest('hex');
}

/** Of each layer, for some are unpacked at a time. An image may be larger than what its app may write. */
function limitsOfEach({ diskBytes: _, memoryBytes, cpuShares, ...limits }: Partial<ContainerLimits>) {
  return {
    ...limits,
    ...(memoryBytes === undefined ? {} : { memoryBytes: Math.floor(memoryBytes / AT_ONCE) }),
    ...(cpuShares === undefined ? {} : { cpuShares: Math.floor(cpuShares / AT_ONCE) }),
  };
}

/** Like Promise.all over a map, some at a time; settles only when nothing is under way. */
async function eachOf<Item, Result>(
  items: readonly Item[],
  atOnce: number,
  body: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results = new Map<number, Result>();
  const waiting = [...items.entries()];
  const work = Array.from({ length: atOnce }, async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [index, item] = next;
      try {
        results.set(index, await body(item, index));
      } catch (error) {
        waiting.length = 0;
        throw error;
      }
    }
  });
  await together(work);
  return items.map((_, index) => results.get(index)!);
}
