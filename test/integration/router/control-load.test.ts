import assert from 'node:assert/strict';
import type { Server } from 'node:http';
import { get } from 'node:https';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, createServer as createTlsServer } from 'node:tls';
import { CONTROL_REQUESTS, SHARES } from '../../../src/router/bounds.ts';
import { healthSocketOf } from '../../../src/router/index.ts';
import { ask } from '../../support/http-client.ts';
import { FRAME, frame, literalFields, RawHttp2, requestFrames } from '../../support/raw-http2.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

/*
 * Control is one process, and each connection to it costs a handshake: what nobody has proven anything for must not bring many. Clients
 * come from addresses of this machine.
 */
const HOST = 'api.cupola.test';
const SHARE = CONTROL_REQUESTS * SHARES.client;
let path: RequestPath;
let control: Server | null = null;
let connections = 0;
let mostUnderWay = 0;
const held: (() => void)[] = [];
const bodies: string[] = [];
const open: RawHttp2[] = [];

before(async () => {
  path = await startRequestPath({ firstPort: 21430, prefix: 'router-control-load' });
});
afterEach(async () => {
  for (const connection of open.splice(0)) connection.close();
  for (const answer of held.splice(0)) answer();
  control?.closeAllConnections();
  await new Promise((resolve) => (control ? control.close(resolve) : resolve(null)));
  control = null;
});
after(() => path.close());

async function startControl(): Promise<void> {
  connections = mostUnderWay = 0;
  let underWay = 0;
  control = await path.startControl(
    new Map([
      [
        HOST,
        (request, response) => {
          underWay += 1;
          mostUnderWay = Math.max(mostUnderWay, underWay);
          response.on('close', () => {
            underWay -= 1;
          });
          if (request.url === '/held') return void held.push(() => response.end('late'));
          if (request.url === '/whose') return void response.end(request.headers['x-forwarded-for']);
          request.on('data', (chunk: Buffer) => bodies.push(chunk.toString()));
          request.on('end', () => response.end('API'));
        },
      ],
    ]),
  );
  control.on('secureConnection', () => {
    connections += 1;
  });
}

const from = (localAddress: string) => ({
  host: '127.0.0.1',
  port: path.httpsPort,
  servername: HOST,
  ca: path.pki.routerRoot.cert,
  localAddress,
});
const fields = (method: string, target: string, more: [string, string][] = []): [string, string][] => [
  [':method', method],
  [':scheme', 'https'],
  [':authority', HOST],
  [':path', target],
  ...more,
];
const STREAMS = Array.from({ length: 100 }, (_, index) => 2 * index + 1);

/** A hundred requests on a connection, each of these frames. */
function hundred(address: string, frames: (stream: number) => Buffer): RawHttp2 {
  const connection = new RawHttp2(from(address), Buffer.concat(STREAMS.map(frames)));
  for (const stream of STREAMS) connection.stream(stream);
  open.push(connection);
  return connection;
}
const half = (stream: number) =>
  Buffer.concat([
    frame(FRAME.headers, 4, stream, literalFields(fields('POST', '/v3/apps', [['content-length', '10']]))),
    frame(FRAME.data, 0, stream, Buffer.from('{')),
  ]);
const statuses = (all: readonly RawHttp2[]) =>
  all.flatMap((connection) => STREAMS.map((stream) => connection.stream(stream).status));
const count = <T>(all: readonly T[], wanted: T) => all.filter((each) => each === wanted).length;
const asks = (target = '/v3/info') =>
  ask({ host: HOST, port: path.httpsPort, path: target, ca: path.pki.routerRoot.cert });

test('SECURITY-TESTS 5: a thousand bodies that never become whole bring no connection to control, and end with 408', async () => {
  await startControl();
  const all = Array.from({ length: 10 }, () => hundred('127.0.6.6', half));
  await path.until('all but a share to be refused', () => count(statuses(all), 429) === 1_000 - SHARE, 20_000);
  assert.equal(count(statuses(all), null), SHARE);
  assert.equal(connections, 0);
  for (let times = 0; times < 5; times += 1) assert.equal((await asks()).body, 'API');
  assert.equal(count(statuses(all), null), SHARE, 'another is answered while these are held');
  await path.until('the rest to end', () => count(statuses(all), 408) === SHARE, 25_000);
});

test('a body that the router cannot hold goes on to control as it comes', async () => {
  await startControl();
  bodies.length = 0;
  const socket = connect(from('127.0.6.7'), () => {
    socket.write(`POST /v3/packages HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 200000\r\n\r\n${'a'.repeat(100_000)}`);
  });
  const answer = new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())));
  await path.until('the begin of it', () => bodies.join('').length > 50_000);
  socket.write('b'.repeat(100_000));
  assert.match(await answer, /^HTTP\/1\.1 200 /);
  assert.equal(bodies.join('').length, 200_000);
  socket.destroy();
});

test('one address has a share of the requests under way, and is told to come again; others have theirs', async () => {
  await startControl();
  const greedy = hundred('127.0.6.8', (stream) => requestFrames(stream, fields('GET', '/held')));
  await path.until('a share to be held', () => held.length === SHARE);
  await path.until('the rest to be refused', () => count(statuses([greedy]), 429) === 100 - SHARE);
  assert.equal((await asks()).body, 'API');
});

/** As the supervisor asks: at its own socket. */
async function asksAsSupervisor(): Promise<{ status: number; body: string }> {
  const target = {
    socketPath: healthSocketOf(path.settings),
    path: '/whose',
    servername: HOST,
    headers: { host: HOST },
  };
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  get({ ...target, ca: path.pki.routerRoot.cert, agent: false }, (response) =>
    text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject),
  ).on('error', reject);
  return promise;
}

test('SECURITY-TESTS 32: what clients of the same machine hold is not counted against the supervisor that asks whether the API is well', async () => {
  await startControl();
  const greedy = hundred('127.0.0.1', (stream) => requestFrames(stream, fields('GET', '/held')));
  await path.until('a share to be held', () => held.length === SHARE);
  await path.until('the rest to be refused', () => count(statuses([greedy]), 429) === 100 - SHARE);
  assert.equal((await asks('/whose')).status, 429, 'a client beside it');
  assert.deepEqual(
    await asksAsSupervisor(),
    { status: 200, body: 'supervisor' },
    'nor is it one with them for control',
  );
});

test('control has a bounded number of requests at a time; beyond those that wait a client gets 503 with Retry-After', async () => {
  await startControl();
  const all = Array.from({ length: 12 }, (_, at) =>
    hundred(`127.0.6.${20 + at}`, (stream) => requestFrames(stream, fields('GET', '/held'))),
  );
  await path.until('as many as may to be held', () => held.length === CONTROL_REQUESTS);
  await path.until('those without a place to be refused', () => count(statuses(all), null) === 3 * CONTROL_REQUESTS);
  assert.ok(count(statuses(all), 503) > 0);
  assert.equal(count(statuses(all), 503) + count(statuses(all), 429), 600);
  const refused = await asks();
  assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '5']);
  assert.equal(mostUnderWay, CONTROL_REQUESTS);
  while (count(statuses(all), null) > 0) {
    for (const answer of held.splice(0)) answer();
    await delay(20);
  }
  assert.equal(count(statuses(all), 200), 3 * CONTROL_REQUESTS, 'those that waited are answered');
});

test('a handshake that control is late with is waited for, not begun again', async () => {
  const identity = { ...path.pki.control, ca: path.pki.platformRoot.cert, requestCert: true };
  const tls = createTlsServer(identity, (socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlate')),
  );
  const sockets: Socket[] = [];
  const late = createTcpServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    setTimeout(() => tls.emit('connection', socket), 4_500);
  });
  await new Promise<void>((resolve) => late.listen(path.controlPort, '127.0.0.1', resolve));
  assert.equal((await asks()).body, 'late');
  assert.equal(sockets.length, 1);
  for (const socket of sockets) socket.destroy();
  late.close();
});
