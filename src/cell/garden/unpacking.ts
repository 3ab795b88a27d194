import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { chown, copyFile, link, lstat, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { onAbort, unlessAborted } from '../../kit/abort.ts';
import { CupolaError, codeOf } from '../../kit/errors.ts';
import { together } from '../../kit/together.ts';
import { receive } from './archives.ts';
import { compressionOf } from './compression.ts';
import type { BindMount, ContainerLimits, LayerSource, LayerWhiteouts } from './garden.ts';
import { applyWhiteouts, keepOnly } from './layer-files.ts';
import { unmountBelow } from './mounts.ts';
import { runtimeSpec } from './oci-spec.ts';
import { type ContainerParts, cgroupPath, runtimeId } from './parts.ts';
import { removeContainer } from './removal.ts';
import { makeGate, mountRootFilesystem } from './rootfs.ts';
import type { SeccompProfile } from './seccomp.ts';
import { VCAP } from './settings.ts';
import { openIdMap } from './user-namespaces.ts';
import { BLOCK_BYTES, createVolume, formatImage, isVolumeFull } from './volume.ts';

/** What is to become a layer, where, and what that may use. */
export interface UnpackOrder {
  source: LayerSource;
  destination: string;
  stack: string;
  limits: ContainerLimits;
}

/**
 * Makes the tree of a layer in an empty directory of its own, whose caller removes it where this rejects. It does soon after `signal`
 * aborts, and leaves nothing else behind.
 */
export type Unpack = (directory: string, order: UnpackOrder, signal: AbortSignal) => Promise<void>;

/** Where the tree of an image's layer is made. */
const TREE = '/layer';
/** Files that a layer may have beside one for each block of its disk: links and what is empty take none. */
const EMPTY_FILES = 16_384;
const MOST_INODES = 393_216;
/** More than the entries that an image's layer may have. */
const IMAGE_INODES = 524_288;
/** Where a zip lies in the container that unpacks it. */
const ARCHIVE = '/tmp/.archive';

/** The file system of a layer, owned by the garden's first uid range. */
export function layerVolume(directory: string): string {
  return join(directory, 'volume');
}

/** The files of a layer that is whole. */
export function layerTree(directory: string): string {
  return join(layerVolume(directory), 'upper');
}

/** Unpacks within throw-away containers that have no network and no neighbour: nothing an archive does reaches further. */
export function unpackerOf(parts: ContainerParts, seccomp: SeccompProfile): Unpack {
  return async (directory, order, signal) => {
    const { source } = order;
    const name = `layer-${randomUUID()}`;
    const place = source.format === 'image' ? TREE : order.destination;
    try {
      await runUnpacking({ parts, seccomp, name, directory }, { ...order, destination: place }, signal);
      signal.throwIfAborted();
      await keepOnly(layerTree(directory), pathParts(place), signal);
      if (source.format === 'image') {
        await removeContainer(parts, name);
        await becomeTree(parts, layerVolume(directory), source.whiteouts(), signal);
      }
    } catch (cause) {
      const isFull =
        codeOf(cause) === 'archive_refused' && (await isVolumeFull(layerVolume(directory)).catch(() => false));
      if (isFull) throw new CupolaError('layer_too_large', 'an archive has more than its layer may hold', { cause });
      throw cause;
    } finally {
      await removeContainer(parts, name);
    }
  };
}

/** An image's layer is a tree of its own: it takes the place of what it was unpacked in. */
async function becomeTree(
  parts: ContainerParts,
  volume: string,
  whiteouts: LayerWhiteouts,
  signal: AbortSignal,
): Promise<void> {
  const upper = join(volume, 'upper');
  await rename(upper, join(volume, 'unpacked'));
  await rename(join(volume, 'unpacked', TREE), upper);
  await rm(join(volume, 'unpacked'), { recursive: true });
  await applyWhiteouts(upper, whiteouts, parts.uidRangeBase, signal);
}

async function runUnpacking(
  {
    parts,
    seccomp,
    name,
    directory,
  }: { parts: ContainerParts; seccomp: SeccompProfile; name: string; directory: string },
  { source, destination, stack, limits }: UnpackOrder,
  signal: AbortSignal,
): Promise<void> {
  const { paths, runtime, prefix, uidRangeBase, cgroups } = parts;
  const image = source.format === 'image';
  const files = paths.container(name);
  const volume = layerVolume(directory);
  await mkdir(files.directory, { mode: 0o700 });
  using opened = new DisposableStack();
  const disk = join(directory, 'volume.img');
  const idMap = async () => opened.use(await openIdMap(0, uidRangeBase)).descriptor;
  const [userNamespace] = await together([
    idMap(),
    createVolume(disk, volume, () =>
      formatImage(disk, limits.diskBytes, image ? IMAGE_INODES : inodesOf(limits.diskBytes)),
    ),
    makeGate(files, uidRangeBase),
  ]);
  await mountRootFilesystem({
    lowers: [{ path: paths.stack(stack), userNamespace }],
    volume,
    mountPoint: files.rootfs,
    owner: uidRangeBase,
    scratchDirectory: paths.scratch,
  });
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
    seccomp,
    process: {
      args: unpackCommand(source, compressed, destination),
      environment: { PATH: '/usr/bin:/bin', LANG: 'C.UTF-8', HOME: '/home/vcap' },
      workingDirectory: '/',
      user: image ? 'root' : 'vcap',
    },
  });
  await writeFile(files.runtimeSpec, JSON.stringify(config), { mode: 0o600 });
  signal.throwIfAborted();
  await receive(stream, runtime.runPiped(runtimeId(prefix, name), files.directory), signal);
  await unmountBelow(files.gate);
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
  const input = await openedUnless(signal, source.open(signal));
  opened.defer(() => void input.destroy());
  onAbort(signal, () => void input.destroy());
  if (source.format === 'image') return { compressed: false, stream: input, binds: [] };
  const { kind, whole } = await compressionOf(input);
  return { compressed: kind === 'gzip', stream: whole, binds: [] };
}

/** A stream that comes too late is not wanted any more. */
async function openedUnless(signal: AbortSignal, opening: Promise<Readable>): Promise<Readable> {
  try {
    return await unlessAborted(opening, signal);
  } catch (error) {
    opening.then(
      (stream) => stream.destroy(),
      () => {},
    );
    throw error;
  }
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
  // Where it failed the archive stays: whether the disk was full is seen then.
  const script = 'file' in source ? unzip : `cat > ${ARCHIVE} && { ${unzip}; [ $code -gt 1 ] || rm ${ARCHIVE}; }`;
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

/** As many files as the bytes can hold, and not many more: their table is written to the disk, and nobody's quota has it. */
function inodesOf(bytes: number): number {
  return Math.min(EMPTY_FILES + Math.ceil(bytes / BLOCK_BYTES), MOST_INODES);
}
