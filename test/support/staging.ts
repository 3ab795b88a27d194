import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { create } from '@bufbuild/protobuf';
import { ZipFile } from 'yazl';
import type { Container } from '../../src/cell/garden/garden.ts';
import { KeptDroplets } from '../../src/cell/rep/kept-droplets.ts';
import type { StagingResult } from '../../src/cell/staging/result.ts';
import { createStager, type StagerOptions } from '../../src/cell/staging/staging.ts';
import { type Buildpack, type EgressRule, EgressRuleSchema, TaskSchema } from '../../src/contracts/gen/diego_pb.js';
import { Logger } from '../../src/kit/log.ts';
import { run } from '../../src/kit/process.ts';
import { entries } from '../../src/platform/buildpacks/archive.ts';
import type { TestBlobs } from './buildpacks.ts';
import { containerSpec, type TestGarden } from './garden.ts';

const LIFECYCLE = new URL('../../src/cell/staging/lifecycle', import.meta.url).pathname;
export const EXAMPLES = new URL('../../examples', import.meta.url).pathname;

/** The security group "public_networks". */
export const PUBLIC_NETWORKS: EgressRule[] = [
  '0.0.0.0-9.255.255.255',
  '11.0.0.0-169.253.255.255',
  '169.255.0.0-172.15.255.255',
  '172.32.0.0-192.167.255.255',
  '192.169.0.0-255.255.255.255',
].map((destination) => create(EgressRuleSchema, { protocol: 'all', destination }));

export interface StageRequest {
  /** The package zip. */
  source: Buffer;
  buildpacks: Buildpack[];
  /** From an earlier staging. */
  cache?: Buffer;
  environment?: Record<string, string>;
  egressRules?: EgressRule[];
  memoryMb?: number;
  diskMb?: number;
  signal?: AbortSignal;
  packageSha256?: string;
}

export interface Staged {
  failed: boolean;
  failureReason: string;
  /** Null where it failed. */
  result: StagingResult | null;
  lines: string[];
  droplet: Buffer | null;
  cache: Buffer | null;
  milliseconds: number;
}

/** Stages in a real container, with a blobstore that is a map. */
export async function stage(
  test: TestGarden,
  blobs: TestBlobs,
  wanted: StageRequest,
  changes: Partial<StagerOptions> = {},
): Promise<Staged> {
  const guid = randomUUID();
  const scratchDirectory = mkdtempSync(join(tmpdir(), 'staging-scratch-'));
  const url = (name: string) => `${name}:${guid}`;
  blobs.content.set(url('package'), wanted.source);
  if (wanted.cache) blobs.content.set(url('cache'), wanted.cache);
  const task = create(TaskSchema, {
    taskGuid: guid,
    domain: 'cf-app-staging',
    stack: 'debian12',
    memoryMb: wanted.memoryMb ?? 1024,
    diskMb: wanted.diskMb ?? 1024,
    environment: Object.entries(wanted.environment ?? {}).map(([name, value]) => ({ name, value })),
    egressRules: wanted.egressRules ?? [],
    work: {
      case: 'staging',
      value: {
        package: { url: url('package'), sha256: wanted.packageSha256 ?? sha256(wanted.source) },
        buildpacks: wanted.buildpacks,
        uploadDroplet: { url: url('droplet') },
        cache: wanted.cache ? { url: url('cache'), sha256: sha256(wanted.cache) } : { url: '' },
        uploadCache: { url: url('new-cache') },
      },
    },
  });
  const lines: string[] = [];
  const log = new Logger('staging', {}, (line) => process.env['VERBOSE'] && process.stderr.write(line), 'debug');
  const stager = createStager({
    garden: test.garden,
    blobs,
    lifecycleDirectory: LIFECYCLE,
    scratchDirectory,
    kept: new KeptDroplets({ directory: join(scratchDirectory, 'never-opened'), reserve: () => 0, log }),
    log,
    ...changes,
  });
  const started = performance.now();
  try {
    const outcome = await stager.stage({
      task,
      signal: wanted.signal ?? AbortSignal.timeout(60_000),
      log: (text) => {
        lines.push(text);
        if (process.env['VERBOSE']) process.stderr.write(`${Math.round(performance.now() - started)} ${text}\n`);
      },
    });
    const milliseconds = performance.now() - started;
    const uploaded = (name: string) => blobs.bytes(url(name)).catch(() => null);
    return {
      failed: outcome.failed,
      failureReason: outcome.failureReason,
      result: outcome.failed ? null : (JSON.parse(outcome.result) as StagingResult),
      lines,
      droplet: await uploaded('droplet'),
      cache: await uploaded('new-cache'),
      milliseconds,
    };
  } finally {
    await test.garden.destroy(guid);
    rmSync(scratchDirectory, { recursive: true });
  }
}

export function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** A directory as the package zip the client uploads. */
export async function packageOf(directory: string): Promise<Buffer> {
  const zip = new ZipFile();
  for (const path of await entries(directory)) {
    const content = await readFile(join(directory, path)).catch(() => null); // null: a directory
    if (content) zip.addBuffer(content, path, { mode: path.includes('.') ? 0o100644 : 0o100755 });
  }
  zip.end();
  const chunks: Buffer[] = [];
  for await (const chunk of zip.outputStream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** Starts a process of a droplet as the rep does. */
export async function launch(test: TestGarden, droplet: Buffer, command: string): Promise<Container> {
  const layer = await test.garden.ensureLayer(
    `droplet-${sha256(droplet)}`,
    { format: 'tar', open: async () => Readable.from([droplet]) },
    '/home/vcap',
    'debian12',
  );
  const container = await test.garden.create(
    containerSpec(randomUUID(), {
      layers: [layer],
      limits: { memoryBytes: 256 * 1024 ** 2, diskBytes: 256 * 1024 ** 2, pids: 256, cpuShares: 256 },
      binds: [{ source: LIFECYCLE, destination: '/tmp/lifecycle' }],
    }),
  );
  await container.run({
    id: 'app',
    args: ['/tmp/lifecycle/launcher', '/home/vcap/app', command],
    environment: { PATH: '/usr/local/bin:/usr/bin:/bin', PORT: '8080', USER: 'vcap', MEMORY_LIMIT: '256m' },
    workingDirectory: '/home/vcap/app',
    user: 'vcap',
  });
  return container;
}

/** The answer of an app as soon as it listens; gives up after ten seconds. */
export async function answerOf(container: Container, path: string, init: RequestInit = {}): Promise<Response> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      return await fetch(`http://${container.address}:8080${path}`, { signal: AbortSignal.timeout(2_000), ...init });
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }
}

export interface NameServer {
  stop(): Promise<void>;
}

/** A name server at the containers' gateway that forwards to all of the machine's own: one of them may be dead. Fine where another one serves there already. */
export async function startNameServer(gateway: string): Promise<NameServer> {
  const upstreams = [...(await readFile('/etc/resolv.conf', 'utf8')).matchAll(/^nameserver (\S+)/gm)].map(([, a]) => a);
  const server = spawn(
    'dnsmasq',
    [
      '--no-daemon',
      '--no-resolv',
      '--no-hosts',
      '--bind-interfaces',
      `--listen-address=${gateway}`,
      ...upstreams.map((upstream) => `--server=${upstream}`),
      '--all-servers',
      '--conf-file=/dev/null',
      '--except-interface=lo-none',
      '--user=nobody',
    ],
    { stdio: 'ignore' },
  );
  await new Promise((resolve) => setTimeout(resolve, 150));
  return {
    async stop() {
      if (server.exitCode !== null) return;
      const gone = new Promise((resolve) => server.once('exit', resolve));
      server.kill();
      await gone;
    },
  };
}

/** Why packages cannot be fetched here; false where they can. */
export async function registrySkip(): Promise<string | false> {
  try {
    const { PATH = '', HOME = '' } = process.env;
    const registry = (await run('npm', ['config', 'get', 'registry'], { env: { PATH, HOME } })).trim();
    await lookup(new URL(registry).hostname);
    return false;
  } catch {
    return 'needs the npm registry';
  }
}
