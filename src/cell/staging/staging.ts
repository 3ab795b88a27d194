import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { BlobInfo } from '../../contracts/blobs.ts';
import type { Blob, EgressRule, StagingWork, Task } from '../../contracts/gen/diego_pb.js';
import { blockSignal } from '../../kit/abort.ts';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { readFileLater } from '../../kit/streams.ts';
import { tarOf } from '../../kit/tar.ts';
import { together } from '../../kit/together.ts';
import type { BindMount, Container, Garden } from '../garden/garden.ts';
import { VCAP } from '../garden/settings.ts';
import type { KeptDroplets } from '../rep/kept-droplets.ts';
import { followToEnd } from './builder-process.ts';
import {
  buildpackDirectory,
  buildpackLayer,
  isCustom,
  type LocalBuildpack,
  prepareBuildpack,
} from './buildpack-layers.ts';
import { readableSize } from './digest.ts';
import { stagingEnvironment } from './environment.ts';
import { failureOf, StagingFailure } from './failure.ts';
import { interpretResult, readResultFiles, type StagingResult } from './result.ts';
import {
  downloadTo,
  required,
  type ScratchFile,
  type StagingBlobs,
  type StagingLog,
  takeOut,
  type UploadCopy,
  uploadFrom,
} from './transfers.ts';

const LIFECYCLE_DESTINATION = '/tmp/lifecycle';
const MEBIBYTE = 1024 * 1024;
const DROPLET_FILE = '/tmp/output/droplet.tgz';
const CACHE_FILE = '/tmp/output/cache.tgz';

export interface StagerOptions {
  garden: Garden;
  blobs: StagingBlobs;
  /** With `builder` and `launcher`; shown at /tmp/lifecycle. */
  lifecycleDirectory: string;
  /** For packages on their way into the container; on a disk, readable by the cell alone. */
  scratchDirectory: string;
  /** Where a droplet waits for its first start, when that comes here. */
  kept: KeptDroplets;
  /** Further read-only directories of a staging container, for instance trust store and credentials. */
  binds?: (task: Task) => Promise<readonly BindMount[]>;
  /** Called when the container runs, before any code of the app: identity. Gives further environment variables. */
  prepare?: (container: Container, task: Task) => Promise<Readonly<Record<string, string>>>;
  /** From the manifest's `staging` section: registry mirrors and proxies. */
  environment?: Readonly<Record<string, string>>;
  egressRules?: readonly EgressRule[];
  /** Bytes. */
  limits?: { package?: number; droplet?: number; cache?: number };
  log: Logger;
}

export interface StageOutcome {
  failed: boolean;
  /** "<Code>: <message>" where it failed. */
  failureReason: string;
  /** JSON of StagingResult where it did not. */
  result: string;
}

export interface Stager {
  /**
   * Runs the buildpack lifecycle for a staging task in a container named after the task, which the caller destroys afterwards
   * (best after the result is reported: it need not wait for that). What the app or its buildpack did wrong is an outcome;
   * rejects when `signal` aborts or the platform fails.
   */
  stage(options: { task: Task; signal: AbortSignal; log: StagingLog }): Promise<StageOutcome>;
  /** Unpacks buildpacks ahead of the first push that needs them, one after the other. */
  prepare(buildpacks: readonly LocalBuildpack[]): Promise<void>;
  /** Begins no further preparation. */
  close(): void;
}

/** The buildpack lifecycle of one cell (BPK-01 to BPK-04). */
export function createStager(options: StagerOptions): Stager {
  let closed = false;
  return {
    async stage({ task, signal, log }) {
      if (task.work.case !== 'staging')
        throw new CupolaError('task_not_staging', `${task.taskGuid} is no staging task`);
      const run = new StagingRun(options, task, task.work.value, signal, log);
      try {
        return { failed: false, failureReason: '', result: JSON.stringify(await run.run()) };
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof StagingFailure) {
          options.log.info('staging failed', { taskGuid: task.taskGuid, reason: error.reason });
          return { failed: true, failureReason: error.reason, result: '' };
        }
        throw error;
      }
    },
    async prepare(buildpacks) {
      for (const buildpack of buildpacks) {
        if (closed) return;
        await prepareBuildpack(options.garden, buildpack);
      }
    },
    close() {
      closed = true;
    },
  };
}

class StagingRun {
  readonly #options: StagerOptions;
  readonly #task: Task;
  readonly #work: StagingWork;
  readonly #signal: AbortSignal;
  readonly #say: StagingLog;

  constructor(options: StagerOptions, task: Task, work: StagingWork, signal: AbortSignal, say: StagingLog) {
    this.#options = options;
    this.#task = task;
    this.#work = work;
    this.#signal = signal;
    this.#say = say;
  }

  async run(): Promise<StagingResult> {
    const scratch = join(this.#options.scratchDirectory, randomUUID());
    await mkdir(scratch, { recursive: true, mode: 0o700 });
    try {
      const timer = this.#timer();
      const [container, source, cache] = await together([
        this.#createContainer(), // it must be there to be destroyed
        this.#download('app package', this.#work.package, join(scratch, 'package.zip'), this.#maximum('package')),
        this.#downloadCache(join(scratch, 'cache.tgz')),
      ]);
      timer('downloaded and container created');
      await this.#giveFile(container, 'package.zip', source);
      if (cache) await this.#giveFile(container, 'cache.tgz', cache);
      await this.#giveAddresses(container);
      const given = (await this.#options.prepare?.(container, this.#task)) ?? {};
      timer('files given');
      await this.#build(container, given);
      timer('built');
      // What a buildpack left running could hold up whoever takes the droplet out, or change it meanwhile.
      await container.endProcesses();
      const interpreted = await this.#interpret(container);
      this.#say('Uploading droplet, build artifacts cache...');
      await using copy = this.#options.kept.copy();
      const [droplet, newCache] = await together([this.#uploadDroplet(container, copy), this.#uploadCache(container)]);
      await copy.keep(droplet, this.#signal);
      this.#say('Uploading complete');
      timer('uploaded');
      return { ...interpreted, droplet, cache: newCache };
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }

  async #createContainer(): Promise<Container> {
    using start = blockSignal(this.#signal);
    const [layers, binds] = await together([
      Promise.all(
        this.#work.buildpacks
          .filter((buildpack) => !isCustom(buildpack))
          .map((buildpack) => buildpackLayer(this.#options, buildpack, this.#task.stack, this.#say, start.signal)),
      ),
      this.#options.binds?.(this.#task) ?? Promise.resolve([]),
    ]);
    this.#signal.throwIfAborted();
    return await this.#options.garden.create({
      handle: this.#task.taskGuid,
      stack: this.#task.stack,
      layers: [...new Map(layers.map((layer) => [layer.key, layer])).values()],
      limits: {
        memoryBytes: this.#task.memoryMb * MEBIBYTE,
        diskBytes: this.#task.diskMb * MEBIBYTE,
        pids: 1024,
        cpuShares: Math.max(2, this.#task.memoryMb),
      },
      binds: [{ source: this.#options.lifecycleDirectory, destination: LIFECYCLE_DESTINATION }, ...binds],
      egressRules: [...this.#task.egressRules, ...(this.#options.egressRules ?? [])],
      properties: { kind: 'staging', task_guid: this.#task.taskGuid },
    });
  }

  async #download(what: string, blob: Blob | undefined, path: string, maximum: number): Promise<ScratchFile> {
    this.#say(`Downloading ${what}...`);
    const wanted = required(blob, what);
    const file = await downloadTo(path, { blobs: this.#options.blobs, blob: wanted, maximum, signal: this.#signal });
    this.#say(`Downloaded ${what} (${readableSize(file.bytes)})`);
    return file;
  }

  /** A cache only saves time: without it staging goes on. */
  async #downloadCache(path: string): Promise<ScratchFile | null> {
    if (!this.#work.cache?.url) return null;
    try {
      return await this.#download('build artifacts cache', this.#work.cache, path, this.#maximum('cache'));
    } catch (error) {
      this.#signal.throwIfAborted();
      this.#options.log.warn('a build cache was left out', { error: messageOf(error) });
      return null;
    }
  }

  async #giveFile(container: Container, name: string, file: ScratchFile): Promise<void> {
    try {
      await container.streamIn(
        tarOf({ name, size: file.bytes, owner: VCAP }, readFileLater(file.path)),
        '/tmp/package',
      );
    } catch (cause) {
      if (await this.#isDiskFull(container)) throw this.#ended({ exitCode: 1, outOfMemory: false }, true);
      throw cause;
    }
    await rm(file.path);
  }

  /** Leaves the addresses of buildpacks that the developer brings for the builder: only the app itself goes there. */
  async #giveAddresses(container: Container): Promise<void> {
    for (const buildpack of this.#work.buildpacks.filter(isCustom)) {
      const address = Buffer.from(buildpack.name);
      const file = { name: `${buildpackDirectory(buildpack)}.url`, size: address.length, owner: VCAP };
      await container.streamIn(tarOf(file, Readable.from([address])), '/tmp/package');
    }
  }

  async #build(container: Container, given: Readonly<Record<string, string>>): Promise<void> {
    const { buildpacks } = this.#work;
    // All of them were chosen, or all are candidates: the Cloud Controller never mixes.
    const chosen = buildpacks.length > 0 && buildpacks.every(({ skipDetect }) => skipDetect);
    const process = await container.run({
      id: 'builder',
      args: [
        `${LIFECYCLE_DESTINATION}/builder`,
        ...(chosen ? ['--skip-detect'] : []),
        ...buildpacks.map(buildpackDirectory),
      ],
      environment: stagingEnvironment(this.#task, this.#options.environment ?? {}, given),
      workingDirectory: '/home/vcap',
      user: 'vcap',
    });
    const exit = await followToEnd(process, { signal: this.#signal, say: this.#say, log: this.#options.log });
    if (exit.exitCode === 0) return;
    this.#say(`Exit status ${exit.exitCode}${exit.outOfMemory ? ' (out of memory)' : ''}`);
    throw this.#ended(exit, await this.#isDiskFull(container));
  }

  async #interpret(container: Container): Promise<Omit<StagingResult, 'droplet' | 'cache'>> {
    const byDirectory = new Map(
      this.#work.buildpacks.map((buildpack) => [buildpackDirectory(buildpack), buildpack] as const),
    );
    try {
      const files = await takeOut(container, '/tmp/output/result', this.#signal, readResultFiles);
      return interpretResult(files, (directory) => byDirectory.get(directory));
    } catch (cause) {
      if (!(cause instanceof CupolaError && cause.code === 'release_invalid')) throw cause;
      this.#say(`Failed to build droplet release: ${cause.message}`, true);
      throw new StagingFailure('BuildpackReleaseFailed', cause.message, { cause });
    }
  }

  async #uploadDroplet(container: Container, copy: UploadCopy): Promise<BlobInfo> {
    this.#say('Uploading droplet...');
    const blob = required(this.#work.uploadDroplet, 'droplet');
    const info = await this.#upload(container, DROPLET_FILE, blob, 'droplet', copy);
    this.#say(`Uploaded droplet (${readableSize(info.bytes)})`);
    return info;
  }

  async #uploadCache(container: Container): Promise<BlobInfo | null> {
    if (!this.#work.uploadCache?.url) return null;
    this.#say('Uploading build artifacts cache...');
    try {
      const info = await this.#upload(container, CACHE_FILE, this.#work.uploadCache, 'cache');
      this.#say(`Uploaded build artifacts cache (${readableSize(info.bytes)})`);
      return info;
    } catch (error) {
      this.#signal.throwIfAborted();
      this.#options.log.warn('a build cache was not kept', { error: messageOf(error) });
      return null;
    }
  }

  #upload(
    container: Container,
    path: string,
    blob: Blob,
    kind: 'droplet' | 'cache',
    copy?: UploadCopy,
  ): Promise<BlobInfo> {
    const { blobs } = this.#options;
    return uploadFrom(container, path, { blobs, blob, maximum: this.#maximum(kind), signal: this.#signal, copy });
  }

  #ended(exit: { exitCode: number; outOfMemory: boolean }, diskFull: boolean): StagingFailure {
    return failureOf({ ...exit, diskFull, memoryMb: this.#task.memoryMb, diskMb: this.#task.diskMb });
  }

  /** Judged by what is used afterwards; a build that tidied up after itself is told from its own words in the log. */
  async #isDiskFull(container: Container): Promise<boolean> {
    const used = await container.metrics().catch(() => null);
    return used !== null && used.diskBytes > this.#task.diskMb * MEBIBYTE * 0.97;
  }

  #maximum(kind: 'package' | 'droplet' | 'cache'): number {
    const defaults = { package: 4096 * MEBIBYTE, droplet: 8192 * MEBIBYTE, cache: 1024 * MEBIBYTE };
    return this.#options.limits?.[kind] ?? defaults[kind];
  }

  #timer(): (step: string) => void {
    let last = performance.now();
    return (step) => {
      const now = performance.now();
      this.#options.log.debug(step, { taskGuid: this.#task.taskGuid, milliseconds: Math.round(now - last) });
      last = now;
    };
  }
}
