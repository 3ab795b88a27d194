import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createBlobstore } from '../../src/blobstore/blobstore.ts';
import { InvalidTokenError } from '../../src/contracts/access-token.ts';
import { Ingress } from '../../src/contracts/gen/loggregator_pb.js';
import { serveHosts } from '../../src/kit/http.ts';
import { Logger } from '../../src/kit/log.ts';
import { serveRpc } from '../../src/kit/rpc.ts';
import type { Identity } from '../../src/kit/tls.ts';
import { createLoggregator } from '../../src/loggregator/index.ts';
import { adminOperation, NoBody, serveAdmin } from '../../src/platform/admin-socket.ts';
import { identityUnder, testRoot } from './identities.ts';

/** What the process below tells of itself, on one line. */
interface Told {
  hosts: number;
  rpc: number;
  adminSocket: string;
  /** Signed for five minutes. */
  put: string;
  get: string;
  peers: Record<'router' | 'cell' | 'cell-1' | 'supervisor' | 'nats' | 'foreign', Identity>;
}

export interface Listeners extends Told {
  /** Resident memory of the process, in MiB. */
  residentMb(): number;
  close(): Promise<void>;
}

/** Control's listeners that need no engine (public hosts, blobs, internal calls, admin socket) in a process of their own. */
export async function startListeners(): Promise<Listeners> {
  const child = spawn(process.execPath, [import.meta.filename], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line = ''] = await createInterface(child.stdout)
    [Symbol.asyncIterator]()
    .next()
    .then(({ value }) => [value]);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    ...(JSON.parse(line) as Told),
    residentMb: () => {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
    },
    close: async () => {
      child.stdin.end();
      await ended;
    },
  };
}

async function serve(): Promise<void> {
  const log = new Logger('test', {}, () => {});
  const directory = mkdtempSync('/tmp/cupola-listeners-');
  const root = await testRoot();
  const identity = await identityUnder(root, 'control');
  const loggregator = createLoggregator({
    log,
    access: async (_, sourceIds) => sourceIds,
    tokens: {
      verify: async () => {
        throw new InvalidTokenError('no token is good here');
      },
    },
  });
  const blobstore = createBlobstore({
    directory,
    baseUrl: '',
    signingKey: randomBytes(32),
    log,
    reserve: () => 0,
  });
  await blobstore.start();
  const hosts = await serveHosts({
    host: '127.0.0.1',
    port: 0,
    identity,
    hosts: new Map([
      ['log-cache.cupola.test', { peers: ['router'], handler: loggregator.handler }],
      ['127.0.0.1', { peers: ['cell'], handler: blobstore.handler }],
    ]),
    log,
  });
  const rpc = await serveRpc({
    host: '127.0.0.1',
    port: 0,
    identity,
    peers: { [Ingress.typeName]: ['cell'] },
    routes: loggregator.routes,
    log,
  });
  const adminSocket = join(directory, 'admin/admin.sock');
  const admin = await serveAdmin(adminSocket, { 'GET /asked': adminOperation(NoBody, () => ({ asked: true })) });
  const foreign = await testRoot('Another root');
  const told: Told = {
    hosts: (hosts.server.address() as AddressInfo).port,
    rpc: (rpc.server.address() as AddressInfo).port,
    adminSocket,
    put: blobstore.blobs.signedUrl('PUT', 'droplets', 'one', 300),
    get: blobstore.blobs.signedUrl('GET', 'droplets', 'one', 300),
    peers: {
      router: await identityUnder(root, 'router'),
      cell: await identityUnder(root, 'cell'),
      'cell-1': await identityUnder(root, 'cell-1'),
      supervisor: await identityUnder(root, 'supervisor'),
      nats: await identityUnder(root, 'nats'),
      foreign: { ...(await identityUnder(foreign, 'cell')), ca: root.cert },
    },
  };
  process.stdout.write(`${JSON.stringify(told)}\n`);
  process.stdin.resume().once('end', () => {
    admin.close();
    rmSync(directory, { recursive: true, force: true });
    process.exit(0);
  });
}

if (process.argv[1] === import.meta.filename) await serve();
