import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { create } from '@bufbuild/protobuf';
import type { ClientChannel } from 'ssh2';
import ssh2 from 'ssh2';
import type { Container } from '../../src/cell/garden/garden.ts';
import { sshService } from '../../src/cell/ssh/service.ts';
import { SshAccessResponseSchema } from '../../src/contracts/gen/cloud-controller_pb.js';
import { ActualLrpsResponseSchema, CellsResponseSchema } from '../../src/contracts/gen/diego_pb.js';
import { type Envelope, SendResponseSchema } from '../../src/contracts/gen/loggregator_pb.js';
import { CellSsh } from '../../src/contracts/gen/ssh_pb.js';
import { Logger } from '../../src/kit/log.ts';
import { createRoot, issue } from '../../src/kit/pki.ts';
import { client, lastingTransport, type RpcServer, serveRpc } from '../../src/kit/rpc.ts';
import { listenUnix } from '../../src/kit/sockets.ts';
import type { Identity } from '../../src/kit/tls.ts';
import { createSshProxy, generateHostKey, type SshProxy } from '../../src/ssh-proxy/ssh-proxy.ts';
import { envelopesOf } from './envelopes.ts';
import { containerSpec, shell, startTestGarden, type TestGarden } from './garden.ts';

export const APP = '0f3c5f4e-9a44-4b21-8d1e-0d3a7e6f5b12';
const LRP = `${APP}-1b6a1a4e-0d5f-4c22-8a65-9f1f7a2b3c4d`;
const USER = `cf:${APP}/0`;
export const HOST_KEY = generateHostKey();

/** An SSH proxy before one real container; who may enter, where instances are and the log are this test's. */
export class TestSshProxy {
  readonly publicPort: number;
  readonly rpcPort: number;
  /** Where the router hands connections over. */
  readonly behindRouter = `/tmp/ssh-behind-router-${process.pid}.sock`;
  readonly logged: string[] = [];
  readonly appLog: Envelope[] = [];
  /** What the Cloud Controller was asked about. */
  asked: { processGuid: string; index: number }[] = [];
  container!: Container;
  /** Each good once. */
  readonly #codes = new Set<string>();
  #serial = 0;
  #over = new AbortController();
  #garden!: TestGarden;
  #rpc: RpcServer | null = null;
  #proxy: SshProxy | null = null;

  constructor(publicPort: number) {
    this.publicPort = publicPort;
    this.rpcPort = publicPort + 2;
  }

  freshCode(): string {
    const code = `secret-code-${++this.#serial}`;
    this.#codes.add(code);
    return code;
  }

  /** `prefix` and `range` are the cell's. */
  async start(prefix: string, range: string): Promise<void> {
    const log = new Logger('ssh', {}, (line) => this.logged.push(line));
    this.#garden = await startTestGarden(prefix, range);
    this.container = await this.#garden.garden.create(
      containerSpec('instance', {
        binds: [{ source: `${process.cwd()}/src/cell/staging/lifecycle`, destination: '/tmp/lifecycle' }],
        limits: { memoryBytes: 128 * 1024 ** 2, diskBytes: 64 * 1024 ** 2, pids: 128, cpuShares: 128 },
      }),
    );
    const [now, later] = [new Date(Date.now() - 60_000), new Date(Date.now() + 3_600_000)];
    const root = await createRoot('test root', now, later, 0);
    const identityOf = async (commonName: string, names: string[]): Promise<Identity> => {
      const pair = await issue(root, {
        commonName,
        dnsNames: names,
        ipAddresses: ['127.0.0.1'],
        notBefore: now,
        notAfter: later,
      });
      return { ...pair, ca: root.cert };
    };
    const control = await identityOf('control', ['control']);
    const target = () => ({
      container: this.container,
      environment: { ...shell('x', '').environment, PLANTED: 'planted-environment' },
      over: this.#over.signal,
    });
    const service = sshService((instanceGuid) => (instanceGuid === 'instance' ? target() : null));
    this.#rpc = await serveRpc({
      host: '127.0.0.1',
      port: this.rpcPort,
      identity: await identityOf('cell', ['cell-0', 'cell']),
      peers: { 'cupola.ssh.v1.CellSsh': ['control'] },
      routes: (router) => void router.service(CellSsh, service),
      log,
    });
    this.#proxy = createSshProxy({
      hostKey: HOST_KEY,
      public: { host: '127.0.0.1', port: this.publicPort },
      behindRouter: { descriptor: listenUnix(this.behindRouter) },
      exchangeCode: async (code) => (this.#codes.delete(code) ? 'a-token' : null),
      cloudController: {
        sshAccess: async ({ processGuid = '', index = 0 }) => {
          this.asked.push({ processGuid, index });
          return create(SshAccessResponseSchema, {
            allowed: index !== 13,
            lrpProcessGuid: LRP,
            userGuid: 'a-user',
            owner: { appGuid: APP, appName: 'shelly', processType: 'web' },
          });
        },
      },
      bbs: {
        actualLrps: async () =>
          create(ActualLrpsResponseSchema, {
            actualLrps: [
              { processGuid: LRP, index: 0, instanceGuid: 'instance', cellId: 'cell-0', state: 'RUNNING' },
              { processGuid: LRP, index: 1, instanceGuid: 'starting', cellId: 'cell-0', state: 'CLAIMED' },
              { processGuid: LRP, index: 2, instanceGuid: 'elsewhere', cellId: 'cell-0', state: 'RUNNING' },
              { processGuid: LRP, index: 13, instanceGuid: 'instance', cellId: 'cell-0', state: 'RUNNING' },
            ],
          }),
        cells: async () =>
          create(CellsResponseSchema, { cells: [{ cellId: 'cell-0', repUrl: `https://127.0.0.1:${this.rpcPort}` }] }),
      },
      cell: ({ repUrl, cellId }) => {
        const { transport, close } = lastingTransport(repUrl, control, cellId);
        return { ssh: client(CellSsh, transport), close };
      },
      ingress: {
        send: async ({ batch }) => {
          this.appLog.push(...envelopesOf(batch as Uint8Array[]));
          return create(SendResponseSchema);
        },
      },
      limits: { unauthenticated: 20, unauthenticatedPerAddress: 10, sessions: 3, channels: 5 },
      log,
    });
    await this.#proxy.start();
  }

  /** As where control ends. */
  async stopProxy(): Promise<void> {
    rmSync(this.behindRouter, { force: true });
    await this.#proxy?.close();
    this.#proxy = null;
  }

  async stop(): Promise<void> {
    await this.stopProxy();
    await this.#rpc?.close();
    await this.#garden?.stop();
  }

  /** As where the instance ends; one that takes its place can be entered. */
  endInstance(): void {
    this.#over.abort();
    this.#over = new AbortController();
  }

  /** Logged in; rejects where that is refused. */
  async logIn(changes: Partial<ssh2.ConnectConfig> = {}): Promise<ssh2.Client> {
    const one = new ssh2.Client();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    one.once('ready', resolve);
    one.on('error', reject); // also those that come after it is over
    one.once('close', () => reject(new Error('closed')));
    const target = { host: '127.0.0.1', port: this.publicPort, username: USER, password: this.freshCode() };
    one.connect({ ...target, ...changes });
    await promise;
    return one;
  }

  refused(changes: Partial<ssh2.ConnectConfig>): Promise<void> {
    return assert.rejects(this.logIn(changes), /All configured authentication methods failed/);
  }
}

export function exec(one: ssh2.Client, command: string, options: ssh2.ExecOptions = {}): Promise<ClientChannel> {
  return new Promise((resolve, reject) =>
    one.exec(command, options, (error, channel) => (error ? reject(error) : resolve(channel))),
  );
}

export async function outcome(channel: ClientChannel): Promise<{ code: number; out: string; err: string }> {
  const code = once(channel, 'exit').then(([value]) => value as number);
  const [out, err] = await Promise.all([text(channel), text(channel.stderr)]);
  return { code: await code, out, err };
}
