import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGarden, type OpenGarden } from '../../src/cell/garden/create-garden.ts';
import type { Container, ContainerSpec, ProcessSpec } from '../../src/cell/garden/garden.ts';
import type { OpenGardenSettings } from '../../src/cell/garden/settings.ts';
import { teardownGarden } from '../../src/cell/garden/teardown.ts';
import { stackRoot } from '../../src/cell/stack/stack.ts';
import { type EngineTree, unpinAll, useEngines } from '../../src/kit/engines.ts';
import { Logger } from '../../src/kit/log.ts';
import { chosenImage } from '../../src/platform/engines/image/image.ts';
import { ENGINES, haproxyAccount, imageRoot } from './haproxy.ts';

export const STACKS = process.env['CUPOLA_STACK_CACHE'] ?? '/var/cache/cupola-test-stacks';

/** Why a test of containers cannot run here; false where it can. */
export const GARDEN_SKIP =
  process.getuid?.() !== 0
    ? 'needs root'
    : !existsSync(stackRoot(STACKS, 'debian12'))
      ? `needs a stack: node test/tools/prepare-stack.ts ${STACKS}`
      : chosenImage(ENGINES, undefined) === null
        ? `needs the engines: node test/tools/prepare-engines.ts ${ENGINES}`
        : false;

export interface TestGarden {
  garden: OpenGarden;
  settings: OpenGardenSettings;
  /** A new garden over the same state, as after the cell process was killed. */
  reopen(): Promise<OpenGarden>;
  stop(): Promise<void>;
}

/** Where the gardens of this process that are open have their engines; a process of the platform has one. */
const inUse: EngineTree[] = [];

/** A garden of its own below the temporary directory. Each caller takes another prefix and range. */
export async function startTestGarden(
  prefix: string,
  range: string,
  changes: Partial<OpenGardenSettings> = {},
): Promise<TestGarden> {
  // Where a test has a cell proxy, it runs under this account.
  const proxy = await haproxyAccount();
  const root = await mkdtemp(join(tmpdir(), `garden-${prefix}-`));
  const run = await mkdtemp(`/run/garden-${prefix}-`);
  const pins = await mkdtemp(`/run/engines-${prefix}-`);
  const engines = { pin: join(pins, 'garden'), root: imageRoot() };
  inUse.push(engines);
  const settings: OpenGardenSettings = {
    rootDirectory: join(root, 'state'),
    runDirectory: run,
    stacksDirectory: STACKS,
    prefix,
    network: { range, gateway: '169.254.1.1', mtu: 1450, callers: proxy ? [proxy.uid] : [] },
    uidRangeBase: 100_000_000 + 65_536 * 256 * (prefix.charCodeAt(prefix.length - 1) - 97),
    hasRoom: async () => true,
    engines,
    log: new Logger('garden', {}, (line) => process.env['VERBOSE'] && process.stderr.write(line)),
    ...changes,
  };
  const remove = async () => {
    await teardownGarden(settings);
    await rm(root, { recursive: true, force: true });
    await rm(run, { recursive: true, force: true });
    inUse.splice(inUse.indexOf(engines), 1);
    useEngines(inUse.at(-1) ?? null); // what another garden mounts is seen there too
    await unpinAll(pins);
  };
  const garden = await createGarden(settings).catch(async (error: unknown) => {
    await remove(); // nobody else knows of it
    throw error;
  });
  const test: TestGarden = {
    garden,
    settings,
    async reopen() {
      await test.garden.close();
      test.garden = await createGarden(settings);
      return test.garden;
    },
    async stop() {
      await test.garden.close();
      await remove();
    },
  };
  return test;
}

export function containerSpec(handle: string, changes: Partial<ContainerSpec> = {}): ContainerSpec {
  return {
    handle,
    stack: 'debian12',
    layers: [],
    limits: { memoryBytes: 64 * 1024 ** 2, diskBytes: 64 * 1024 ** 2, pids: 64, cpuShares: 64 },
    binds: [],
    egressRules: [],
    properties: {},
    ...changes,
  };
}

export function shell(id: string, script: string, changes: Partial<ProcessSpec> = {}): ProcessSpec {
  return {
    id,
    args: ['/bin/bash', '-c', script],
    environment: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/home/vcap' },
    workingDirectory: '/home/vcap',
    user: 'vcap',
    ...changes,
  };
}

let serial = 0;

/** Runs a script to its end: its exit and what it wrote, standard output and error together. */
export async function runShell(
  container: Container,
  script: string,
  changes: Partial<ProcessSpec> = {},
): Promise<{ exitCode: number; outOfMemory: boolean; output: string }> {
  const process = await container.run(shell(`shell${++serial}`, script, changes));
  const exit = await process.exit;
  const log = await readFile(process.logPath, 'utf8');
  const output = log.replace(/^\S+ (?:stdout|stderr) ([PF]) (.*)\n/gm, (_, kind: string, text: string) =>
    kind === 'F' ? `${text}\n` : text,
  );
  return { ...exit, output };
}
