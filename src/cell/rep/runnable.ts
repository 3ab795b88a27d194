import type { Blob, DockerImage } from '../../contracts/gen/diego_pb.js';
import { CupolaError } from '../../kit/errors.ts';
import type { BindMount, ContainerLimits, ContainerUser, Layer, LayerWanted, ProcessSpec } from '../garden/garden.ts';
import type { ImageWanted, PreparedImage } from '../images/image-store.ts';
import { localeOf } from '../stack/packages.ts';
import { readableSize } from '../staging/digest.ts';
import type { RepContext } from './collaborators.ts';
import { containerBinds, containerLimits, imageBinds, LIFECYCLE_DESTINATION } from './container-files.ts';
import { containerEnvironment, type EnvironmentFacts } from './environment.ts';

/** What an LRP or a task runs: a droplet above its stack, or a container image. */
export interface RunnableWork {
  stack: string;
  droplet?: Blob | undefined;
  dockerImage?: DockerImage | undefined;
  environment: Parameters<typeof containerEnvironment>[0];
  memoryMb: number;
  diskMb: number;
}

export interface RunnableProcess extends Omit<ProcessSpec, 'id'> {
  environment: Record<string, string>;
}

/** All that is needed for its container and its process. */
export interface Runnable {
  stack: string | null;
  layers: Layer[];
  user?: ContainerUser;
  workingDirectory?: string;
  binds: BindMount[];
  /** For an image an empty command means what the image itself starts. Throws `image_invalid` where it starts nothing. */
  process(command: string, facts: EnvironmentFacts): RunnableProcess;
}

const APP = '/home/vcap/app';
/** What unpacks needs some itself. */
const LEAST_MEMORY_MB = 128;

/** What of it the garden must know. */
export function containerOf({ stack, layers, user, workingDirectory, binds }: Runnable) {
  return {
    stack,
    layers,
    binds,
    ...(user === undefined ? {} : { user }),
    ...(workingDirectory === undefined ? {} : { workingDirectory }),
  };
}

/** For whom it is prepared. */
export interface RunnableWanted {
  /** Aborts when its start is over, well or not: until then its layers stay, and what is still on its way then ends. */
  signal: AbortSignal;
  /** Tells its developer what is fetched. */
  say?: (text: string) => void;
}

/** Brings here what the work runs. Throws CupolaError, or the reason of the signal. */
export function prepareRunnable(
  context: RepContext,
  handle: string,
  work: RunnableWork,
  { signal, say = () => {} }: RunnableWanted,
): Promise<Runnable> {
  const wanted = { signal, limits: layerLimits(work.memoryMb, work.diskMb) };
  return work.dockerImage
    ? ofImage(context, handle, work, work.dockerImage, wanted, say)
    : ofDroplet(context, handle, work, wanted, say);
}

/** What the work may use itself, but for the least memory that any archive needs. */
function layerLimits(memoryMb: number, diskMb: number): Partial<ContainerLimits> {
  const { memoryBytes, diskBytes, cpuShares } = containerLimits(Math.max(memoryMb, LEAST_MEMORY_MB), diskMb);
  return { memoryBytes, diskBytes, cpuShares };
}

async function ofDroplet(
  context: RepContext,
  handle: string,
  work: RunnableWork,
  wanted: LayerWanted,
  say: (text: string) => void,
): Promise<Runnable> {
  const fetched = (bytes: number): void => say(`Downloaded droplet (${readableSize(bytes)})`);
  const [layer] = await Promise.all([
    context.droplets.ensure(work.droplet, work.stack, { ...wanted, fetched }),
    context.trust.store(work.stack),
  ]);
  return {
    stack: work.stack,
    layers: [layer],
    binds: await containerBinds(context, handle, work.stack),
    process: (command, facts) => ({
      args: [`${LIFECYCLE_DESTINATION}/launcher`, APP, command],
      environment: containerEnvironment(work.environment, { ...facts, locale: localeOf(work.stack) }),
      workingDirectory: APP,
      user: 'vcap',
    }),
  };
}

async function ofImage(
  context: RepContext,
  handle: string,
  work: RunnableWork,
  reference: DockerImage,
  wanted: ImageWanted,
  say: (text: string) => void,
): Promise<Runnable> {
  const image = await context.images.prepare(reference, work.stack, wanted);
  if (image.fetchedBytes > 0) say(`Downloaded image (${readableSize(image.fetchedBytes)})`);
  const { uid, gid, groups } = image.user;
  return {
    stack: null,
    layers: image.layers,
    user: { uid, gid, groups },
    workingDirectory: image.config.workingDirectory,
    binds: await imageBinds(context, handle),
    process: (command, facts) => ({
      args: argumentsOf(image, command),
      environment: containerEnvironment(work.environment, { ...facts, image }),
      workingDirectory: image.config.workingDirectory,
      user: { uid, gid, groups },
    }),
  };
}

/** A command of the app's own needs the image's shell; the image's own is started as it stands, for not every one has a shell. */
function argumentsOf({ config }: PreparedImage, command: string): string[] {
  if (command !== '') return ['/bin/sh', '-c', command];
  const own = [...config.entrypoint, ...config.cmd];
  if (own.length === 0) throw new CupolaError('image_invalid', 'the image names no command, and neither does the app');
  return own;
}
