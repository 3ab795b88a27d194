import { mkdtempSync, rmSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import { ImageStore, type PreparedImage } from '../../src/cell/images/image-store.ts';
import { type DockerImage, DockerImageSchema } from '../../src/contracts/gen/diego_pb.js';
import { blockSignal } from '../../src/kit/abort.ts';
import { Logger } from '../../src/kit/log.ts';
import { containerSpec, runShell, startTestGarden, type TestGarden } from './garden.ts';
import { startRegistry, type TestImage, type TestRegistry } from './registry.ts';

export const LIMITS = { unpackedBytes: 32 * 1024 ** 2, entries: 2000 };
/** What an app has at least for what is unpacked for it. */
const LEAST = { memoryBytes: 128 * 1024 ** 2, cpuShares: 128 };
const NOBODY = { username: '', password: '' };

/** How long one question to a registry may take. */
export function signal(): AbortSignal {
  return AbortSignal.timeout(30_000);
}

/** A cell's store of images beside a registry, and containers of them. */
export class TestImages {
  readonly directory = mkdtempSync('/tmp/cupola-images-');
  garden!: TestGarden;
  registry!: TestRegistry;
  /** The one that asks the registry. */
  store!: ImageStore;
  #serial = 0;

  /** `prefix` and `range` are the cell's. */
  async start(prefix: string, range: string, port: number): Promise<void> {
    this.garden = await startTestGarden(prefix, range, { layerLimitBytes: 64 * 1024 ** 2 });
    this.registry = await startRegistry(port);
    this.store = this.storeFor([this.registry.host]);
  }

  async stop(): Promise<void> {
    await this.registry?.stop();
    await this.garden?.stop();
    rmSync(this.directory, { recursive: true });
  }

  /** A number that was not given before. */
  next(): number {
    return ++this.#serial;
  }

  storeFor(insecure: string[], name = `store-${this.next()}`): ImageStore {
    return new ImageStore({
      garden: this.garden.garden,
      directory: `${this.directory}/${name}`,
      registries: { allowed: [], insecure },
      log: new Logger('images', {}, (line) => process.env['VERBOSE'] && process.stderr.write(line)),
      limits: LIMITS,
    });
  }

  image(reference: string, credentials = NOBODY): DockerImage {
    return create(DockerImageSchema, { reference, ...credentials });
  }

  /** Described and prepared, as a cell does it. */
  async bring(pushed: { reference: string }, of = this.store, credentials = NOBODY): Promise<PreparedImage> {
    const described = await of.describe(this.image(pushed.reference, credentials), signal());
    return this.prepare(described.reference, of, credentials);
  }

  async prepare(reference: string, of = this.store, credentials = NOBODY): Promise<PreparedImage> {
    using start = blockSignal(signal());
    const wanted = { ...start, limits: LEAST };
    return await of.prepare(this.image(reference, credentials), 'debian12', wanted);
  }

  async pushAndBring(wanted: TestImage): Promise<PreparedImage> {
    return this.bring(await this.registry.push('team/app', `t${this.next()}`, wanted));
  }

  /** Runs a script in a container of the image. */
  async inside(
    prepared: PreparedImage,
    script: string,
    user: 'image' | 'root' = 'image',
  ): Promise<Awaited<ReturnType<typeof runShell>>> {
    const handle = `image-${this.next()}`;
    const { uid, gid, groups } = prepared.user;
    const container = await this.garden.garden.create(
      containerSpec(handle, { stack: null, layers: prepared.layers, user: prepared.user }),
    );
    try {
      return await runShell(container, script, {
        args: ['/bin/sh', '-c', script],
        environment: { PATH: '/bin' },
        workingDirectory: '/',
        user: user === 'root' ? 'root' : { uid, gid, groups },
      });
    } finally {
      await this.garden.garden.destroy(handle);
    }
  }
}
