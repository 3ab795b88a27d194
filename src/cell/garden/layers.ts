import { createHash, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { chown, copyFile, link, lstat, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import Type, { type Static } from 'typebox';
import { linkSignals } from '../../kit/abort.ts';
import { CupolaError, codeOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { SharedWork } from '../../kit/shared-work.ts';
import { receive } from './archives.ts';
import type { BindMount, ContainerLimits, Layer, LayerSource, LayerWanted } from './garden.ts';
import { applyWhiteouts, keepOnly } from './layer-files.ts';
import { mountsBelow, unmountBelow } from './mounts.ts';
import { runtimeSpec } from './oci-spec.ts';
import { type ContainerParts, cgroupPath, runtimeId } from './parts.ts';
import { readJson, writeJson } from './records.ts';
import { removeContainer } from './removal.ts';
import { makeGate, mountRootFilesystem } from './rootfs.ts';
import type { SeccompProfile } from './seccomp.ts';
import { VCAP } from './settings.ts';
import { together } from './together.ts';
import { openIdMap } from './user-namespaces.ts';
import { createVolume, formatImage, isVolumeFull } from './volume.ts';

const LayerRecord = Type.Object({
  key: Type.String(),
  /** Layers are a cache on file systems without journal: after a reboot they are made anew. */
  bootId: Type.String(),
});

const GIB = 1024 ** 3;
/** Where the tree of an image's layer is made. */
const TREE = '/layer';
/** Files that a layer may have at least, however small: ext4 would give a small one few. */
const INODES = 393_216;
/** Longer than the slowest registry may take for a layer. */
const MAKING_MS = 30 * 60_000;
/** How often it is looked whether the disk has room still. */
const LOOK_MS = 1_000;
/** Where a zip lies in the container that unpacks it. */
const ARCHIVE = '/tmp/.archive';

/** What is to become a layer, where, and for whom. */
interface LayerOrder {
  source: LayerSource;
  destination: string;
  stack: string;
  limits: ContainerLimits;
  /** Of who asked first, whose source it is. */
  signal: AbortSignal | undefined;
}

interface Making {
  work: SharedWork<Layer>;
  by: AbortSignal | undefined;
  diskBytes: number;
}

/**
 * Unpacked archives, each on a bounded file system of its own (`layers/<name>/volume.img`), owned by the garden's first
 * uid range, and shown ID-mapped to every container that uses it.
 */
export class LayerCache {
  readonly #parts: ContainerParts;
  readonly #seccomp: SeccompProfile;
  readonly #limits: ContainerLimits;
  readonly #hasRoom: () => Promise<boolean>;
  readonly #log: Logger;
  readonly #ready = new Set<string>();
  readonly #making = new Map<string, Making>();
  #bootId = '';

  /** `hasRoom`: whether the disk has room for more. */
  constructor(options: {
    parts: ContainerParts;
    seccomp: SeccompProfile;
    limitBytes: number;
    hasRoom: () => Promise<boolean>;
    log: Logger;
  }) {
    this.#parts = options.parts;
    this.#seccomp = options.seccomp;
    this.#limits = { memoryBytes: GIB, diskBytes: options.limitBytes, pids: 64, cpuShares: 1024 };
    this.#hasRoom = options.hasRoom;
    this.#log = options.log;
  }

  /** Finds the layers of an earlier cell process; removes half-made ones and those from before a reboot. */
  async adopt(bootId: string): Promise<void> {
    this.#bootId = bootId;
    for (const name of await readdir(this.#parts.paths.layers)) {
      const directory = join(this.#parts.paths.layers, name);
      const record = await readJson(join(directory, 'layer.json'), LayerRecord);
      const whole = record?.bootId === bootId && mountsBelow(join(directory, 'volume')).length > 0;
      if (record && whole) this.#ready.add(record.key);
      else await removeDirectory(directory);
    }
  }

  /** The tree of a layer. Throws `layer_missing`. */
  path(key: string): string {
    if (!this.#ready.has(key)) throw new CupolaError('layer_missing', `layer ${key} was not unpacked`);
    return join(this.#directory(key), 'volume', 'upper');
  }

  /** See `Garden.ensureLayer`. */
  async ensure(
    key: string,
    source: LayerSource,
    destination: string,
    stack: string,
    { signal, limits: wanted }: LayerWanted = {},
  ): Promise<Layer> {
    const limits = { ...this.#limits, ...wanted };
    limits.diskBytes = Math.min(limits.diskBytes, this.#limits.diskBytes);
    for (;;) {
      signal?.throwIfAborted();
      if (this.#ready.has(key)) return { key };
      const known = this.#making.get(key);
      if (known?.work.isGivenUp) {
        await known.work.settled();
        continue;
      }
      const making = known ?? this.#begin(key, { source, destination, stack, limits, signal });
      try {
        return await making.work.wait(signal);
      } catch (error) {
        signal?.throwIfAborted();
        // It was another's, who went away, or has less room than this one.
        const another = making.by !== signal && making.by?.aborted;
        const less = codeOf(error) === 'layer_too_large' && making.diskBytes < limits.diskBytes;
        if (!another && !less) throw error;
      }
    }
  }

  #begin(key: string, order: LayerOrder): Making {
    const { limits, signal: by } = order;
    const work = new SharedWork((signal) => this.#bounded(key, order, signal).finally(() => this.#making.delete(key)));
    const making = { work, by, diskBytes: limits.diskBytes };
    this.#making.set(key, making);
    return making;
  }

  /** Within time, and while the disk has room. */
  async #bounded(key: string, order: LayerOrder, signal: AbortSignal): Promise<Layer> {
    if (!(await this.#hasRoom())) throw noRoom();
    const ending = new AbortController();
    using all = linkSignals(signal, ending.signal);
    const late = setTimeout(() => {
      ending.abort(new CupolaError('layer_too_slow', `a layer was not made within ${MAKING_MS / 60_000} minutes`));
    }, MAKING_MS);
    const looks = setInterval(async () => {
      if (!(await this.#hasRoom().catch(() => true))) ending.abort(noRoom());
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

  async prune(keep: ReadonlySet<string>): Promise<void> {
    for (const key of this.#ready) {
      if (keep.has(key)) continue;
      this.#ready.delete(key);
      await removeDirectory(this.#directory(key));
    }
  }

  /** An image's layer is a tree of its own: it takes the place of what it was unpacked in. */
  async #becomeTree(volume: string, whiteouts: { removed: string[]; opaque: string[] }): Promise<void> {
    const upper = join(volume, 'upper');
    await rename(upper, join(volume, 'unpacked'));
    await rename(join(volume, 'unpacked', TREE), upper);
    await rm(join(volume, 'unpacked'), { recursive: true });
    await applyWhiteouts(upper, whiteouts, this.#parts.uidRangeBase);
  }

  #directory(key: string): string {
    return join(this.#parts.paths.layers, createHash('sha256').update(key).digest('hex').slice(0, 32));
  }

  async #make(key: string, order: LayerOrder, signal: AbortSignal): Promise<Layer> {
    const { source } = order;
    const began = Date.now();
    const directory = this.#directory(key);
    await removeDirectory(directory);
    await mkdir(directory, { mode: 0o700 });
    const name = `layer-${randomUUID()}`;
    const place = source.format === 'image' ? TREE : order.destination;
    try {
      await this.#unpack(name, directory, { ...order, destination: place }, signal);
      signal.throwIfAborted();
      await keepOnly(join(directory, 'volume', 'upper'), pathParts(place));
      if (source.format === 'image') {
        await removeContainer(this.#parts, name);
        await this.#becomeTree(join(directory, 'volume'), source.whiteouts());
      }
      const record: Static<typeof LayerRecord> = { key, bootId: this.#bootId };
      await writeJson(join(directory, 'layer.json'), record);
    } catch (error) {
      const isFull = codeOf(error) === 'archive_refused' && (await isVolumeFull(join(directory, 'volume')));
      await removeContainer(this.#parts, name);
      await removeDirectory(directory);
      if (isFull)
        throw new CupolaError('layer_too_large', 'an archive has more than its layer may hold', { cause: error });
      throw error;
    }
    await removeContainer(this.#parts, name);
    this.#ready.add(key);
    this.#log.info('layer unpacked', { layer: key, milliseconds: Date.now() - began });
    return { key };
  }

  /** In a container that has no network and no neighbour: nothing the archive does reaches further. */
  async #unpack(
    name: string,
    directory: string,
    { source, destination, stack, limits }: LayerOrder,
    signal: AbortSignal,
  ): Promise<void> {
    const { paths, runtime, prefix, uidRangeBase, cgroups } = this.#parts;
    const files = paths.container(name);
    const volume = join(directory, 'volume');
    await mkdir(files.directory, { mode: 0o700 });
    using opened = new DisposableStack();
    const disk = join(directory, 'volume.img');
    const idMap = async () => opened.use(await openIdMap(0, uidRangeBase)).descriptor;
    const [userNamespace] = await together([
      idMap(),
      createVolume(disk, volume, () => formatImage(disk, limits.diskBytes, INODES)),
      makeGate(files, uidRangeBase),
    ]);
    await mountRootFilesystem({
      lowers: [{ path: paths.stack(stack), userNamespace }],
      volume,
      mountPoint: files.rootfs,
      owner: uidRangeBase,
      scratchDirectory: paths.scratch,
    });
    const image = source.format === 'image';
    await makeDestination(files.rootfs, pathParts(destination), uidRangeBase + (image ? 0 : VCAP));
    const { compressed, stream, binds } = await opening(source, join(directory, 'archive'), opened, signal);
    const config = runtimeSpec({
      handle: 'unpack',
      rootfs: files.rootfs,
      uidBase: uidRangeBase,
      limits,
      limitsSwap: cgroups.limitsSwap,
      binds,
      cgroupPath: cgroupPath(prefix, name),
      seccomp: this.#seccomp,
      process: {
        args: unpackCommand(source, compressed, destination),
        environment: { PATH: '/usr/bin:/bin', LANG: 'C.UTF-8', HOME: '/home/vcap' },
        workingDirectory: '/',
        user: image ? 'root' : 'vcap',
      },
    });
    await writeFile(files.runtimeSpec, JSON.stringify(config), { mode: 0o600 });
    await receive(stream, runtime.runPiped(runtimeId(prefix, name), files.directory), signal);
    await unmountBelow(files.gate);
  }
}

/** What the unpacking reads from its standard input, and what it is shown of this machine: a file at `place`. */
async function opening(
  source: LayerSource,
  place: string,
  opened: DisposableStack,
  signal: AbortSignal,
): Promise<{ compressed: boolean; stream: Readable; binds: readonly BindMount[] }> {
  if ('file' in source) {
    // Another zip may take its name at any time, and not this one's.
    await link(source.file, place).catch(() => copyFile(source.file, place));
    opened.defer(() => rmSync(place));
    await source.check(place);
    return { compressed: false, stream: Readable.from([]), binds: [{ source: place, destination: ARCHIVE }] };
  }
  const input = await source.open(signal);
  opened.defer(() => void input.destroy());
  if (source.format === 'image') return { compressed: false, stream: input, binds: [] };
  return { ...(await detectGzip(input)), binds: [] };
}

function unpackCommand(source: LayerSource, compressed: boolean, destination: string): string[] {
  if (source.format === 'image') {
    const owners = ['--numeric-owner', '--same-owner', '--same-permissions', '--delay-directory-restore'];
    return ['tar', '--extract', '--file=-', ...owners, `--directory=${destination}`];
  }
  if (source.format === 'tar') {
    return ['tar', '--extract', ...(compressed ? ['--gzip'] : []), '--file=-', `--directory=${destination}`];
  }
  // unzip must seek. Its code 1 stands for warnings.
  const unzip = `unzip -q -o ${ARCHIVE} -d "$1"; code=$?`;
  const script = 'file' in source ? unzip : `cat > ${ARCHIVE} && { ${unzip}; rm ${ARCHIVE}; }`;
  return ['sh', '-c', `${script} && [ $code -le 1 ]`, 'sh', destination];
}

/** Throws `invalid_destination`. */
function pathParts(destination: string): string[] {
  const parts = destination.split('/').filter((part) => part !== '');
  if (!destination.startsWith('/') || parts.length === 0 || parts.some((part) => part === '.' || part === '..')) {
    throw new CupolaError('invalid_destination', 'a layer goes to an absolute path below the root');
  }
  return parts;
}

/** Makes the directories that the stack does not have. They are walked before anything of a user is in the tree. */
async function makeDestination(root: string, parts: readonly string[], owner: number): Promise<void> {
  let path = root;
  for (const part of parts) {
    path = join(path, part);
    const found = await lstat(path).catch(() => null);
    if (found?.isDirectory()) continue;
    if (found) throw new CupolaError('invalid_destination', `${part} is not a directory of the stack`);
    await mkdir(path, { mode: 0o755 });
    await chown(path, owner, owner);
  }
}

async function detectGzip(input: Readable): Promise<{ compressed: boolean; stream: Readable }> {
  const iterator = input[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let head = Buffer.alloc(0);
  while (head.length < 2) {
    const next = await iterator.next();
    if (next.done) break;
    head = Buffer.concat([head, next.value]);
  }
  const stream = Readable.from(
    (async function* () {
      if (head.length > 0) yield head;
      yield* { [Symbol.asyncIterator]: () => iterator };
    })(),
    { objectMode: false },
  );
  return { compressed: head[0] === 0x1f && head[1] === 0x8b, stream };
}

async function removeDirectory(directory: string): Promise<void> {
  await unmountBelow(directory);
  // Out of sight first: what is cut off in between is found as half made.
  const doomed = `${directory}.gone-${randomUUID()}`;
  await rename(directory, doomed).catch(() => {});
  await rm(doomed, { recursive: true, force: true });
}

function noRoom(): CupolaError {
  return new CupolaError('disk_reserved', 'the disk has no room for another layer');
}
