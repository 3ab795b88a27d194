import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, afterEach, before, beforeEach } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type Cell, createCell } from '../../src/cell/cell.ts';
import type { InstanceAuthority } from '../../src/cell/identity/instance-identity.ts';
import type { StageTask, Timing } from '../../src/cell/rep/collaborators.ts';
import { type DesiredLrp, DesiredLrpSchema, Rep } from '../../src/contracts/gen/diego_pb.js';
import { createIntermediate, createRoot } from '../../src/kit/pki.ts';
import { client, inMemoryTransport } from '../../src/kit/rpc.ts';
import { eventually, fakeControl } from './fake-control.ts';
import { fakeGarden } from './fake-garden.ts';
import { silentLog } from './postgresql.ts';

/** A rep on a garden that exists on paper only, with a control that listens and one HTTP server as every app. */

const DROPLET = Buffer.from('a droplet');
const DIGEST = createHash('sha256').update(DROPLET).digest('hex');
/** Stands in what an instance is desired with. */
export const SECRET = 'planted-secret-value';

export let directory: string;
export let control: ReturnType<typeof fakeControl>;
export let garden: ReturnType<typeof fakeGarden>;
/** Where every "app" listens; it answers 200 to `/well`, and to `/ready` while `app.ready`. */
export let port: number;
export let proxied: Map<string, { address: string; port: number; certificate: string }>;
export const app = { ready: true };
let authority: InstanceAuthority;
let cell: Cell;
let server: Server;
let stage: StageTask;

/** To be called once in a test file: each test gets a cell of its own. */
export function eachTestHasACell(): void {
  before(async () => {
    const from = new Date(Date.now() - 60_000);
    const to = new Date(Date.now() + 86_400_000);
    const root = await createRoot('instance identity root', from, to);
    authority = {
      intermediate: await createIntermediate(root, 'instance identity', from, to),
      rootCertificate: root.cert,
    };
    server = createServer(({ url }, response) => {
      response.writeHead(url === '/well' || (url === '/ready' && app.ready) ? 200 : 500).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  after(() => server.close());

  beforeEach(async () => {
    app.ready = true;
    directory = mkdtempSync('/tmp/rep-unit-');
    control = fakeControl();
    garden = fakeGarden(join(directory, 'garden'));
    proxied = new Map();
    stage = async () => ({ failed: false, failureReason: '', result: '{}' });
    cell = newCell();
    await cell.start();
  });
  afterEach(async () => {
    await cell.close();
    rmSync(directory, { recursive: true, force: true });
  });
}

/** The cell process ends; what runs goes on. */
export function closeCell(): Promise<void> {
  return cell.close();
}

/** Another cell process on the same machine. */
export async function openCell(timing: Partial<Timing> = {}): Promise<void> {
  cell = newCell(timing);
  await cell.start();
}

export function stageWith(body: StageTask): void {
  stage = body;
}

function newCell(timing: Partial<Timing> = {}): Cell {
  return createCell({
    cellId: 'cell-1',
    zone: 'z1',
    address: '10.0.0.1',
    repUrl: 'https://10.0.0.1:1800',
    stacks: ['debian12'],
    capacity: { memoryMb: 1024, diskMb: 4096, containers: 10 },
    placementTags: [],
    garden: garden.garden,
    proxy: {
      register: async ({ instanceGuid, ...rest }) => void proxied.set(instanceGuid, rest),
      rotate: async () => {},
      unregister: async (guid) => void proxied.delete(guid),
    },
    proxyPort: 61443,
    registry: control.registry,
    ingress: control.ingress,
    identity: authority,
    blobs: { fetch: async () => Readable.from([DROPLET]), upload: async () => {} },
    stage: (options) => stage(options),
    lifecycleDirectory: '/lifecycle',
    runDirectory: join(directory, 'run'),
    stateDirectory: join(directory, 'state'),
    diskReserve: () => 0,
    registries: { allowed: [], insecure: ['127.0.0.1'] },
    log: silentLog,
    timing: { drainMs: 20, graceMs: 200, heartbeatMs: 50, reconcileMs: 100, metricsMs: 10_000, retryMs: 20, ...timing },
  });
}

export const rep = () =>
  client(
    Rep,
    inMemoryTransport((router) => cell.routes(router)),
  );

export type Overrides = Omit<Exclude<MessageInitShape<typeof DesiredLrpSchema>, DesiredLrp>, '$typeName'>;

export function lrp(overrides: Overrides = {}) {
  return create(DesiredLrpSchema, {
    processGuid: 'process-1',
    stack: 'debian12',
    memoryMb: 256,
    diskMb: 512,
    logRateLimitBytesPerSecond: -1,
    startCommand: './run',
    environment: [{ name: 'PASSWORD', value: SECRET }],
    ports: [port],
    healthCheck: { type: 'port', timeoutSeconds: 4 },
    owner: {
      appGuid: 'app-1',
      appName: 'web-app',
      spaceGuid: 'space-1',
      organizationGuid: 'org-1',
      processType: 'web',
    },
    droplet: { url: `https://control/droplet?signature=${SECRET}`, sha256: DIGEST },
    ...overrides,
  });
}

/** Starts an instance and gives its guid once it is reported as running. */
export async function running(overrides: Overrides = {}): Promise<string> {
  await rep().perform({ lrpStarts: [{ desiredLrp: lrp(overrides), index: 0 }] });
  await eventually('it runs', () => control.control.reports().includes('start'));
  return control.control.calls.find(({ what }) => what === 'start')!.lrp.instanceGuid;
}
