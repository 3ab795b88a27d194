import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { buffer, text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { ClientChannel } from 'ssh2';
import ssh2 from 'ssh2';
import type { Container } from '../../../src/cell/garden/garden.ts';
import { sshService } from '../../../src/cell/ssh/service.ts';
import { SshAccessResponseSchema } from '../../../src/contracts/gen/cloud-controller_pb.js';
import { ActualLrpsResponseSchema, CellsResponseSchema } from '../../../src/contracts/gen/diego_pb.js';
import { CellSsh } from '../../../src/contracts/gen/ssh_pb.js';
import { Logger } from '../../../src/kit/log.ts';
import { createRoot, issue } from '../../../src/kit/pki.ts';
import { client, lastingTransport, type RpcServer, serveRpc } from '../../../src/kit/rpc.ts';
import type { Identity } from '../../../src/kit/tls.ts';
import { createSshProxy, fingerprintOf, generateHostKey, type SshProxy } from '../../../src/ssh-proxy/ssh-proxy.ts';
import { containerSpec, GARDEN_SKIP, shell, startTestGarden, type TestGarden } from '../../support/garden.ts';

const PUBLIC = 42_310;
const BEHIND_ROUTER = 42_311;
const RPC = 42_312;
const APP = '0f3c5f4e-9a44-4b21-8d1e-0d3a7e6f5b12';
const LRP = `${APP}-1b6a1a4e-0d5f-4c22-8a65-9f1f7a2b3c4d`;
const USER = `cf:${APP}/0`;
const HOST_KEY = generateHostKey();

describe('the SSH proxy before a real container', { skip: GARDEN_SKIP }, () => {
  const logged: string[] = [];
  const log = new Logger('ssh', {}, (line) => logged.push(line));
  /** Each good once. */
  const codes = new Set<string>();
  let serial = 0;
  let over = new AbortController();
  let t: TestGarden;
  let container: Container;
  let rpc: RpcServer;
  let proxy: SshProxy;
  let asked: { processGuid: string; index: number }[] = [];

  const freshCode = (): string => {
    const code = `secret-code-${++serial}`;
    codes.add(code);
    return code;
  };

  before(async () => {
    t = await startTestGarden('qsb', '10.232.42.0/24');
    container = await t.garden.create(
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
      container,
      environment: { ...shell('x', '').environment, PLANTED: 'planted-environment' },
      over: over.signal,
    });
    const service = sshService((instanceGuid) => (instanceGuid === 'instance' ? target() : null));
    rpc = await serveRpc({
      host: '127.0.0.1',
      port: RPC,
      identity: await identityOf('cell', ['cell-0', 'cell']),
      peers: { 'cupola.ssh.v1.CellSsh': ['control'] },
      routes: (router) => void router.service(CellSsh, service),
      log,
    });
    proxy = createSshProxy({
      hostKey: HOST_KEY,
      public: { host: '127.0.0.1', port: PUBLIC },
      behindRouter: { host: '127.0.0.1', port: BEHIND_ROUTER },
      exchangeCode: async (code) => (codes.delete(code) ? 'a-token' : null),
      cloudController: {
        sshAccess: async ({ processGuid = '', index = 0 }) => {
          asked.push({ processGuid, index });
          return create(SshAccessResponseSchema, {
            allowed: index !== 13,
            lrpProcessGuid: LRP,
            appGuid: APP,
            userGuid: 'a-user',
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
            ],
          }),
        cells: async () =>
          create(CellsResponseSchema, { cells: [{ cellId: 'cell-0', repUrl: `https://127.0.0.1:${RPC}` }] }),
      },
      cell: ({ repUrl, cellId }) => {
        const { transport, close } = lastingTransport(repUrl, control, cellId);
        return { ssh: client(CellSsh, transport), close };
      },
      limits: { unauthenticated: 20, unauthenticatedPerAddress: 10, sessions: 3, channels: 5 },
      log,
    });
    await proxy.start();
  });
  after(async () => {
    await proxy?.close();
    await rpc?.close();
    await t?.stop();
  });

  /** Logged in; rejects where that is refused. */
  async function logIn(changes: Partial<ssh2.ConnectConfig> = {}): Promise<ssh2.Client> {
    const one = new ssh2.Client();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    one.once('ready', resolve);
    one.once('error', reject);
    one.once('close', () => reject(new Error('closed')));
    one.connect({ host: '127.0.0.1', port: PUBLIC, username: USER, password: freshCode(), ...changes });
    await promise;
    one.on('error', () => {});
    return one;
  }
  const exec = (one: ssh2.Client, command: string, options: ssh2.ExecOptions = {}): Promise<ClientChannel> =>
    new Promise((resolve, reject) =>
      one.exec(command, options, (error, channel) => (error ? reject(error) : resolve(channel))),
    );
  async function outcome(channel: ClientChannel): Promise<{ code: number; out: string; err: string }> {
    const code = once(channel, 'exit').then(([value]) => value as number);
    const [out, err] = await Promise.all([text(channel), text(channel.stderr)]);
    return { code: await code, out, err };
  }
  const refused = (changes: Partial<ssh2.ConnectConfig>) =>
    assert.rejects(logIn(changes), /All configured authentication methods failed|closed/);

  test('CC-04: a command runs in the instance, in its environment, with input, output, errors and exit code', async () => {
    const one = await logIn();
    const channel = await exec(one, 'cat; pwd; echo $HOME $PLANTED; echo wrong >&2; exit 9');
    channel.end('typed\n');
    const { code, out, err } = await outcome(channel);
    assert.equal(out, 'typed\n/home/vcap\n/home/vcap planted-environment\n');
    assert.deepEqual([code, err], [9, 'wrong\n']);
    one.end();
  });

  test('a shell has a terminal of the size the client says, and of the next one', async () => {
    const one = await logIn();
    const channel = await new Promise<ClientChannel>((resolve, reject) =>
      one.shell({ cols: 111, rows: 22, term: 'xterm' }, (error, made) => (error ? reject(error) : resolve(made))),
    );
    let seen = '';
    channel.on('data', (chunk: Buffer) => {
      seen += chunk;
    });
    const until = async (pattern: RegExp) => {
      for (let count = 0; count < 400 && !pattern.test(seen); count++) await new Promise((r) => setTimeout(r, 25));
      assert.match(seen, pattern);
    };
    channel.write('stty size; echo $TERM\r');
    await until(/22 111\r\nxterm\r\n/);
    channel.setWindow(50, 140, 0, 0);
    channel.write('sleep 0.3; stty size\r');
    await until(/50 140\r\n/);
    const exit = once(channel, 'exit');
    channel.write('exit 4\r');
    assert.equal((await exit)[0], 4);
    one.end();
  });

  test('much goes through whole, both ways, and a reader who stops stops the writer', async () => {
    const one = await logIn();
    const down = await exec(one, 'head -c 8000000 /dev/urandom | tee /tmp/random; sha256sum < /tmp/random >&2');
    await new Promise((resolve) => setTimeout(resolve, 500)); // the window is full now
    const [bytes, sum] = await Promise.all([buffer(down), text(down.stderr)]);
    assert.equal(bytes.length, 8_000_000);
    const up = await exec(one, 'sha256sum');
    up.end(bytes);
    assert.equal((await outcome(up)).out, sum);
    one.end();
  });

  test('a signal of the client reaches the command; so does the end of its connection', async () => {
    const one = await logIn();
    const channel = await exec(one, 'trap "exit 6" TERM; echo ready; while :; do sleep 0.05; done');
    channel.once('data', () => setTimeout(() => channel.signal('TERM'), 200));
    assert.equal((await once(channel, 'exit'))[0], 6);
    const lasting = await exec(one, 'echo here; exec sleep 71');
    await once(lasting, 'data');
    one.destroy();
    const count = async () => (await outcome(await exec(two, 'pgrep -c -x sleep'))).out.trim();
    const two = await logIn();
    for (let attempt = 0; attempt < 100 && (await count()) !== '0'; attempt++)
      await new Promise((r) => setTimeout(r, 50));
    assert.equal(await count(), '0');
    two.end();
  });

  test('SECURITY-TESTS 17: one code is one login; wrong ones, wrong users and other methods are none', async () => {
    const password = freshCode();
    (await logIn({ password })).end();
    await refused({ password });
    await refused({ password: 'never-a-code' });
    await refused({ password: '' });
    await refused({ username: 'root' });
    await refused({ username: `cf:${APP}` });
    await refused({ username: `cf:${APP}/13` }); // the Cloud Controller says no
    await refused({ username: `cf:${APP}/1` }); // it is not up
    await refused({ username: `cf:${APP}/2` }); // its cell does not have it
    await refused({ username: `cf:${APP}/7` }); // there is none
    await refused({ password: undefined as never, privateKey: generateHostKey() });
    asked = [];
    await refused({ password: 'never-a-code' });
    assert.deepEqual(asked, [], 'nobody is asked about a code that is no good');
  });

  test('remote forwarding, X11, agents, other subsystems and local sockets are refused', async () => {
    const one = await logIn();
    await assert.rejects(
      new Promise((resolve, reject) =>
        one.forwardIn('127.0.0.1', 42_399, (error, port) => (error ? reject(error) : resolve(port))),
      ),
    );
    await assert.rejects(exec(one, 'true', { x11: true }));
    await assert.rejects(new Promise((_resolve, reject) => one.subsys('netconf', (error) => reject(error))));
    await assert.rejects(
      new Promise((_resolve, reject) => one.openssh_forwardOutStreamLocal('/run/x', (error) => reject(error))),
    );
    one.end();
  });

  const forward = (one: ssh2.Client, host: string, port: number): Promise<ClientChannel> =>
    new Promise((resolve, reject) =>
      one.forwardOut('127.0.0.1', 1, host, port, (error, channel) => (error ? reject(error) : resolve(channel))),
    );

  test('SECURITY-TESTS 33: a forwarded connection begins in the container and obeys its egress rules', async () => {
    const one = await logIn();
    const server = await exec(
      one,
      `exec perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 9000, Listen => 5); $| = 1; print "up"; while (my $c = $s->accept) { local $/; my $all = <$c>; print $c scalar reverse $all; close $c }'`,
    );
    await once(server, 'data');
    const channel = await forward(one, 'localhost', 9000);
    channel.end('olleh');
    assert.equal(await text(channel), 'hello');
    // The listeners of this very test, of the proxy and of the cell, on the host's loopback; metadata; the gateway.
    for (const [host, port] of [
      ['127.0.0.1', PUBLIC],
      ['127.0.0.1', RPC],
      ['169.254.169.254', 80],
      ['169.254.1.1', 22],
      ['192.0.2.2', RPC],
    ] as const) {
      await assert.rejects(forward(one, host, port), /CONNECT_FAILED|open failure/i, `${host}:${port}`);
    }
    one.end();
  });

  test('sessions and connections of one client are bounded, and come back', async () => {
    const one = await logIn();
    const held = await Promise.all([1, 2, 3].map(() => exec(one, 'read line')));
    await assert.rejects(exec(one, 'true'));
    for (const channel of held) channel.end('\n');
    await Promise.all(held.map((channel) => once(channel, 'exit')));
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal((await outcome(await exec(one, 'echo again'))).out, 'again\n');
    one.end();
  });

  test('a keepalive is answered', async () => {
    const one = await logIn();
    const protocol: unknown = Reflect.get(one, '_protocol');
    const callbacks: unknown = Reflect.get(one, '_callbacks');
    assert.ok(protocol && typeof protocol === 'object' && Array.isArray(callbacks));
    // The library sends keepalive@openssh.com itself and waits for each answer.
    const answered = new Promise<void>((resolve) => callbacks.push(() => resolve()));
    const ping: unknown = Reflect.get(protocol, 'ping');
    assert.ok(typeof ping === 'function');
    ping.call(protocol);
    await answered;
    one.end();
  });

  test('only algorithms of today are offered, and the key is the one whose fingerprint is known', async () => {
    let seen = '';
    const { createHash } = await import('node:crypto');
    const one = await logIn({
      hostVerifier: (key: Buffer) => {
        seen = createHash('sha256').update(key).digest('base64').replace(/=+$/, '');
        return true;
      },
    });
    one.end();
    assert.equal(seen, fingerprintOf(HOST_KEY));
    const old: Partial<ssh2.Algorithms>[] = [
      { kex: ['diffie-hellman-group14-sha1'] },
      { cipher: ['aes128-cbc'] },
      { cipher: ['aes128-ctr'], hmac: ['hmac-sha1'] },
      { serverHostKey: ['ssh-rsa'] },
    ];
    for (const algorithms of old) await assert.rejects(logIn({ algorithms }), /no matching|closed/i);
  });

  test('a flood of connections that say nothing, or only hello, does not keep a user out', async () => {
    const flood: Socket[] = [];
    const more = setInterval(() => {
      for (let count = 0; count < 20; count++) {
        const socket = connect(PUBLIC, '127.0.0.1');
        socket.on('error', () => {});
        if (count % 2) socket.write('SSH-2.0-flood\r\n');
        flood.push(socket);
      }
    }, 20);
    try {
      await new Promise((resolve) => setTimeout(resolve, 500));
      // Another address: what the router says of it.
      const sock = connect(BEHIND_ROUTER, '127.0.0.1');
      const header = Buffer.from('0d0a0d0a000d0a515549540a2111000cc6336407c6336408c001', 'hex');
      sock.write(Buffer.concat([header, Buffer.from([0x01, 0xbb])]));
      const one = await logIn({ sock });
      assert.equal((await outcome(await exec(one, 'echo in'))).out, 'in\n');
      one.end();
      assert.ok(
        logged.some((line) => line.includes('198.51.100.7')),
        'the client is known by its own address',
      );
    } finally {
      clearInterval(more);
      for (const socket of flood) socket.destroy();
    }
  });

  test("what comes to the router's port without a header is dropped", async () => {
    const socket = connect(BEHIND_ROUTER, '127.0.0.1');
    socket.on('error', () => {});
    socket.write('SSH-2.0-direct\r\n');
    await once(socket, 'close');
  });

  test("SECURITY-TESTS 28: codes, tokens and the app's environment are in no log line", () => {
    const all = logged.join('\n');
    assert.match(all, /a user opened a connection/);
    assert.match(all, /a login was refused/);
    assert.doesNotMatch(all, /secret-code|a-token|planted-environment|never-a-code/);
  });

  test('connections end with the instance, their commands with them', async () => {
    const one = await logIn();
    const channel = await exec(one, 'echo up; exec sleep 72');
    await once(channel, 'data');
    const [exit, closed] = [once(channel, 'exit'), once(one, 'close')];
    over.abort();
    assert.equal((await exit)[0], 137);
    await closed;
    over = new AbortController();
  });
});
