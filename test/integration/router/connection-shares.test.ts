import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import { connect as connectTcp, createServer, isIPv6, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { run } from '../../../src/kit/process.ts';
import { renderRouterConfig } from '../../../src/router/config.ts';
import { haproxyCommand } from '../../support/haproxy.ts';
import { type Field, RawHttp2, requestFrames } from '../../support/raw-http2.ts';
import { type RequestPath, sshSocketBeside, startRequestPath } from '../../support/request-path.ts';

/*
 * Who may hold how many of the router's connections, at its real ports, with the front that tells SSH from TLS and without.
 * Clients come from addresses of this machine: all of 127/8 is, and some of IPv6 are made so.
 */
const SKIP = process.getuid?.() === 0 ? false : 'needs root';
const MAX = 1_000;
const IPV6_CLIENTS = [...Array.from({ length: 40 }, (_, at) => `2001:db8:1:1::${at + 1}`), '2001:db8:1:2::1'];
let path: RequestPath;
const sshProxy = createServer((socket) =>
  socket.on('error', () => {}).once('data', () => socket.write('SSH-2.0-x\r\n')),
);

async function start(ssh: boolean): Promise<void> {
  path = await startRequestPath({
    firstPort: 21350,
    prefix: 'router-shares',
    changeSettings: (settings) => ({
      ...settings,
      bindAddresses: ['127.0.0.1', '::1'],
      containers: '127.240.0.0/16',
      maxConnections: MAX,
      ...(ssh ? { ssh: { socket: sshSocketBeside(settings) } } : {}),
    }),
  });
  const { socket } = path.settings.ssh ?? {};
  if (socket !== undefined) {
    await new Promise<void>((resolve) => sshProxy.listen(socket, resolve));
    await chmod(socket, 0o660);
  }
  const { port } = await path.startBackend((request, response) => {
    if (request.url !== '/hangs') response.end('ok');
  });
  await path.registerInstance('inst-app', port);
  await path.setRoutes({ host: 'app.cupola.test', instances: [{ guid: 'inst-app', index: 0 }] });
}
before(async () => {
  if (!SKIP) await changeAddresses('replace', ' nodad');
});
after(async () => {
  if (!SKIP) await changeAddresses('delete');
});

async function changeAddresses(how: 'replace' | 'delete', options = ''): Promise<void> {
  const input = IPV6_CLIENTS.map((address) => `address ${how} ${address}/128 dev lo${options}\n`).join('');
  await run('ip', ['-6', '-batch', '-'], { input });
}

/** From this address to the HTTPS port. */
const from = (localAddress: string, port = path.httpsPort) => ({
  host: isIPv6(localAddress) ? '::1' : '127.0.0.1',
  port,
  localAddress,
});
const tlsFrom = (address: string) => ({
  ...from(address),
  servername: 'app.cupola.test',
  ca: path.pki.routerRoot.cert,
});

/** A TLS connection from this address; null where the router refuses it. Where the port is shut, it waits, and this throws. */
function open(address: string): Promise<TLSSocket | null> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket | null>();
  const tls = connect(tlsFrom(address), () => resolve(tls));
  const shut = setTimeout(() => reject(new Error(`nobody takes the connection of ${address}`)), 60_000);
  tls.on('error', () => resolve(null));
  tls.on('close', () => resolve(null));
  return promise.finally(() => clearTimeout(shut));
}

/** A connection that says this and no more; null where the router refuses it before `ready`. */
function openRaw(
  address: string,
  text: string | Buffer,
  port: number,
  ready: 'connect' | 'data',
): Promise<Socket | null> {
  const { promise, resolve } = Promise.withResolvers<Socket | null>();
  const socket: Socket = connectTcp(from(address, port), () => socket.write(text));
  socket.once(ready, () => resolve(socket));
  socket.on('error', () => resolve(null));
  socket.on('close', () => resolve(null));
  return promise;
}

const KINDS: Record<string, (address: string) => Promise<Socket | null>> = {
  TLS: open,
  SSH: (address) => openRaw(address, 'SSH-2.0-client\r\n', path.httpsPort, 'data'),
  silence: (address) => openRaw(address, '', path.httpsPort, 'connect'),
  // A handshake record of 512 bytes, of which two come.
  'TLS that goes no further': (address) =>
    openRaw(address, Buffer.from('16030102000100', 'hex'), path.httpsPort, 'connect'),
  'plain HTTP': (address) => openRaw(address, '', path.httpPort, 'connect'),
};

/** How many of these connections stay, once there are no more than `most`. They are open until they are destroyed. */
async function hold(kind: string, addresses: readonly string[], sockets: Socket[], most: number): Promise<number> {
  for (let at = 0; at < addresses.length; at += 40) {
    const opened = await Promise.all(addresses.slice(at, at + 40).map(KINDS[kind]!));
    for (const socket of opened) if (socket) sockets.push(socket.resume());
  }
  const stay = (): number => sockets.filter(({ destroyed, readyState }) => !destroyed && readyState === 'open').length;
  await path.until(`no more than ${most} to stay`, () => stay() <= most, 30_000);
  return stay();
}

const asks = async (address: string): Promise<string> => {
  const socket = await open(address);
  if (!socket) return 'refused';
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.once('close', () => resolve('refused'));
  socket.setTimeout(20_000, () => resolve('silent'));
  socket.once('data', (data) => resolve(data.toString().split('\r\n')[0]!));
  socket.write('GET / HTTP/1.1\r\nHost: app.cupola.test\r\n\r\n');
  const line = await promise;
  socket.destroy();
  return line;
};
const repeat = (count: number, address: (index: number) => string) =>
  Array.from({ length: count }, (_, at) => address(at));

const WHO: Record<string, { attackers: (index: number) => string; share: number; neighbour: string }> = {
  'an IPv4 address': { attackers: () => '127.0.7.7', share: 0.3, neighbour: '127.0.7.8' },
  'an IPv6 /64, whatever addresses it uses': {
    attackers: (index) => IPV6_CLIENTS[index % 40]!,
    share: 0.3,
    neighbour: '2001:db8:1:2::1',
  },
  'a container': { attackers: () => '127.240.0.5', share: 0.05, neighbour: '127.240.0.6' },
  'all containers together': {
    attackers: (index) => `127.240.${index % 2}.${1 + (index % 40)}`,
    share: 0.3,
    neighbour: '127.0.7.8',
  },
};
const UNSPOKEN = 0.15;

for (const [front, ssh] of [
  ['with SSH on the HTTPS port', true],
  ['with TLS alone', false],
] as const) {
  describe(`the router ${front}`, { skip: SKIP }, () => {
    before(() => start(ssh));
    after(async () => {
      sshProxy.close();
      await path.close();
    });
    /** Each TLS connection is two behind the front that tells SSH from TLS. */
    const all = ssh ? MAX / 2 : MAX;

    for (const kind of Object.keys(KINDS).filter((kind) => ssh || kind !== 'SSH')) {
      for (const [who, { attackers, share, neighbour }] of Object.entries(WHO)) {
        test(`SECURITY-TESTS 32: ${who} cannot hold more than a share of the connections by ${kind}, and a neighbour does not notice`, async () => {
          const sockets: Socket[] = [];
          const most = all * share;
          const held = await hold(kind, repeat(most + 80, attackers), sockets, most);
          assert.ok(held > 0.9 * most && held <= most, `${held} of ${most + 80}, where ${most} may be`);
          for (let count = 0; count < 5; count += 1) assert.equal(await asks(neighbour), 'HTTP/1.1 200 OK');
          for (const socket of sockets) socket.destroy();
          await path.until('room again', async () => (await asks(attackers(0))) === 'HTTP/1.1 200 OK');
        });
      }
    }

    for (const kind of ['silence', 'TLS that goes no further']) {
      test(`SECURITY-TESTS 32: five addresses with all they may hold by ${kind} do not shut the port, since under pressure each has less`, async () => {
        const sockets: Socket[] = [];
        for (const address of ['127.0.7.1', '127.0.7.2'])
          await hold(
            kind,
            repeat(all * 0.3, () => address),
            sockets,
            all,
          );
        const most = all * UNSPOKEN;
        const of: number[] = [];
        for (const address of ['127.0.7.3', '127.0.7.4', '127.0.7.5']) {
          const own: Socket[] = [];
          of.push(
            await hold(
              kind,
              repeat(all * 0.2, () => address),
              own,
              most,
            ),
          );
          sockets.push(...own);
        }
        for (const held of of) assert.ok(held > 0.9 * most && held <= most, `${of}, where ${most} may be`);
        for (let count = 0; count < 10; count += 1) assert.equal(await asks('127.0.7.8'), 'HTTP/1.1 200 OK');
        for (const socket of sockets) socket.destroy();
        await path.until('room again', async () => (await asks('127.0.7.1')) === 'HTTP/1.1 200 OK');
      });
    }

    test('SECURITY-TESTS 32: three addresses with all they may hold do not shut the port', async () => {
      const sockets: Socket[] = [];
      let held = 0;
      for (const address of ['127.0.7.1', '127.0.7.2', '127.0.7.3'])
        held = await hold(
          'TLS',
          repeat(all * 0.34, () => address),
          sockets,
          all,
        );
      assert.ok(held > 0.8 * all && held <= 0.9 * all, `${held} of ${all}, where ${0.9 * all} may be`);
      for (let count = 0; count < 10; count += 1) assert.equal(await asks('127.0.7.8'), 'HTTP/1.1 200 OK');
      for (const socket of sockets) socket.destroy();
      await path.until('room again', async () => (await asks('127.0.7.1')) === 'HTTP/1.1 200 OK');
    });

    test('a client that speaks at once may open all of its share at once', async () => {
      const opened = await Promise.all(repeat(all * 0.28, () => '127.0.7.9').map(open));
      assert.equal(opened.filter((socket) => socket === null).length, 0);
      for (const socket of opened) socket?.destroy();
    });

    test('HAProxy has nothing to say to its configuration', async () => {
      const file = `${path.settings.stateDirectory}/checked.cfg`;
      await writeFile(file, renderRouterConfig(path.settings));
      const [program, ...args] = haproxyCommand(['-c', '-f', file]);
      const { stdout, stderr } = await promisify(execFile)(program, args);
      assert.deepEqual([stdout.replace('Configuration file is valid\n', ''), stderr], ['', '']);
    });

    requestsUnderWay();
  });
}

/** Requests under way at once, 100 on each connection of HTTP/2; what became of those that were answered. */
async function holdRequests(
  count: number,
  most: number,
  address: (connection: number) => string,
  more: readonly Field[] = [],
) {
  const connections: RawHttp2[] = [];
  for (let at = 0; at < count / 100; at += 1) {
    const frames = Array.from({ length: 100 }, (_, index) =>
      requestFrames(2 * index + 1, [
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'app.cupola.test'],
        [':path', '/hangs'],
        ...more,
      ]),
    );
    connections.push(new RawHttp2(tlsFrom(address(at)), Buffer.concat(frames)));
  }
  const statuses = () =>
    connections.flatMap((connection) =>
      Array.from({ length: 100 }, (_, index) => connection.stream(2 * index + 1).status),
    );
  const waiting = (): number => statuses().filter((status) => status === null).length;
  await path.until(`no more than ${most} to wait`, () => waiting() <= most, 30_000);
  const close = () => {
    for (const connection of connections) connection.close();
  };
  return { statuses: statuses(), close };
}

function requestsUnderWay(): void {
  for (const [who, address, most, more] of [
    ['a client', () => '127.0.7.7', 300],
    ['a client that hides behind a quote', () => '127.0.7.9', 300, [['x-forwarded-for', '"']]],
    ['a container', () => '127.240.0.5', 50],
    ['all containers together', (connection: number) => `127.240.0.${5 + connection}`, 300],
  ] as [string, (connection: number) => string, number, Field[]?][]) {
    test(`SECURITY-TESTS 32: requests under way are shared as connections are: ${who}`, async () => {
      const wanted = most === 50 ? 100 : 900;
      const { statuses, close } = await holdRequests(wanted, most, address, more);
      const refused = statuses.filter((status) => status === 429).length;
      const waiting = statuses.filter((status) => status === null).length;
      assert.equal(refused + waiting, wanted);
      assert.ok(waiting <= most && waiting > 0.8 * most, `${waiting} wait, where ${most} may`);
      for (let count = 0; count < 5; count += 1) assert.equal(await asks('127.0.7.8'), 'HTTP/1.1 200 OK');
      close();
    });
  }
}
