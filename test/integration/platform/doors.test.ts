import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect as connectUnix } from 'node:net';
import { dirname } from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { Ingress } from '../../../src/contracts/gen/loggregator_pb.js';
import { type Identity, tlsOptions } from '../../../src/kit/tls.ts';
import { type Listeners, startListeners } from '../../support/listeners.ts';
import { type RawAnswer, rawRequest } from '../../support/raw-request.ts';

const MIB = 1024 ** 2;
/** What kernel buffers of both sides take before the connection ends. */
const ENOUGH_BYTES = 12 * MIB;
/** What a message may have, and buffers. */
const MESSAGE_BYTES = 16 * MIB + ENOUGH_BYTES;
const SENDERS = 50;
/** Messages of 12 MiB, and how many of them the share of one peer holds. */
const LARGE = 32;
const HELD = 8;
const GRPC = { denied: '7', exhausted: '8', unimplemented: '12' };
const SEND = `/${Ingress.typeName}/Send`;

let listeners: Listeners;
before(async () => {
  listeners = await startListeners();
});
after(() => listeners.close());

/** To the listener of public hosts and blobs, as this peer; null as a peer without certificate. */
function send(peer: Identity | null, host: string, method: string, path: string, endless: boolean): Promise<RawAnswer> {
  const { ca } = listeners.peers.router;
  const over = connect({
    host: '127.0.0.1',
    port: listeners.hosts,
    servername: 'control',
    ...(peer === null ? { ca } : tlsOptions(peer)),
  });
  const headers = { host, 'content-type': 'application/octet-stream' };
  return rawRequest('http://127.0.0.1:1', { method, path, headers }, { over, endless, waitMs: 20_000 });
}

interface CallAnswer {
  status: number;
  grpcStatus: string;
  /** Of RST_STREAM. */
  reset: number;
  /** What the connection took. */
  bytes: number;
}

/** One call on the listener of internal calls: these bytes, and then, where asked, more without end. */
function call(
  peer: Identity | null,
  path: string,
  { body = Buffer.alloc(0), endless = false, waiting, headers = {} }: CallOptions = {},
): Promise<CallAnswer> {
  const { promise, resolve } = Promise.withResolvers<CallAnswer>();
  const own = peer === null ? { ca: listeners.peers.cell.ca } : tlsOptions(peer);
  const socket = connect({
    ...own,
    host: '127.0.0.1',
    port: listeners.rpc,
    servername: 'control',
    ALPNProtocols: ['h2'],
  });
  const session = connectHttp2('https://control', { createConnection: () => socket });
  const answer = { status: 0, grpcStatus: '', reset: 0, bytes: 0 };
  const finish = (): void => {
    clearTimeout(timer);
    answer.bytes ||= Math.max(0, socket.bytesWritten - socket.writableLength);
    answer.reset = stream.rstCode ?? 0;
    session.destroy();
    resolve(answer);
  };
  const timer = setTimeout(finish, waiting ? 60_000 : 20_000);
  waiting?.addEventListener('abort', finish);
  session.on('error', finish).on('close', finish);
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc+proto',
    te: 'trailers',
    ...headers,
  });
  const take = (fields: Record<string, unknown>): void => {
    answer.status ||= Number(fields[':status'] ?? 0);
    answer.grpcStatus ||= String(fields['grpc-status'] ?? '');
  };
  stream
    .on('response', take)
    .on('trailers', take)
    .on('error', () => {})
    .on('close', finish);
  stream.resume();
  stream.write(body);
  const chunk = Buffer.alloc(65_536);
  const pump = (): void => {
    while (!stream.destroyed && !stream.closed && stream.write(chunk));
  };
  if (!endless && !waiting) stream.end();
  if (endless) {
    stream.on('drain', pump);
    pump();
  }
  return promise;
}

interface CallOptions {
  body?: Buffer;
  endless?: boolean;
  /** Neither ends nor goes on, until this is aborted. */
  waiting?: AbortSignal;
  headers?: Record<string, string>;
}

/** A gRPC message: a flag, its length, and what there is of it. */
function message(bytes: Buffer, { length = bytes.length, packed = false } = {}): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(packed ? 1 : 0, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, bytes]);
}

test('SECURITY 22, 25: a peer without certificate, or with another authority’s, sends nothing that is taken', async () => {
  for (const peer of [null, listeners.peers.foreign]) {
    for (const host of ['log-cache.cupola.test', '127.0.0.1']) {
      const { status, bodyBytes } = await send(peer, host, 'POST', '/', true);
      assert.equal(status, 0, host);
      assert.ok(bodyBytes < ENOUGH_BYTES, `${host}: ${bodyBytes} bytes`);
    }
    const { status, bytes } = await call(peer, SEND, { endless: true });
    assert.equal(status, 0);
    assert.ok(bytes < ENOUGH_BYTES, `rpc: ${bytes} bytes`);
  }
});

test('SECURITY 22, 25: a component of the wrong kind is refused before its body, on every listener', async () => {
  const { peers } = listeners;
  for (const [peer, host] of [
    [peers.cell, 'log-cache.cupola.test'],
    [peers.router, '127.0.0.1'],
    [peers.nats, 'log-cache.cupola.test'],
  ] as const) {
    assert.equal((await send(peer, host, 'POST', '/', false)).status, 403, host);
    const { status, bodyBytes } = await send(peer, host, 'POST', '/', true);
    assert.equal(status, 403, host);
    assert.ok(bodyBytes < ENOUGH_BYTES, `${host}: ${bodyBytes} bytes`);
  }
  for (const peer of [peers.router, peers['cell-1'], peers.supervisor]) {
    const { grpcStatus, bytes } = await call(peer, SEND, { endless: true });
    assert.equal(grpcStatus, GRPC.denied);
    assert.ok(bytes < ENOUGH_BYTES, `${bytes} bytes`);
  }
});

test('SECURITY 25: the log cache takes no body, whoever sends it', async () => {
  for (const [method, path, wanted] of [
    ['POST', '/api/v1/read/x', 404],
    ['GET', '/api/v1/read/x', 404],
    ['GET', '/api/v1/meta', 404],
    ['GET', '/api/v1/info', 200],
    ['PUT', '/nothing', 404],
  ] as const) {
    const answer = await send(listeners.peers.router, 'log-cache.cupola.test', method, path, true);
    const { status, bodyBytes, ended } = answer;
    assert.ok(ended, `${method} ${path}: the connection ends`);
    // A GET with a body is malformed, unless it was answered before.
    assert.ok([wanted, 400, 415].includes(status), `${method} ${path}: ${status}`);
    assert.ok(bodyBytes < ENOUGH_BYTES, `${method} ${path}: ${bodyBytes} bytes`);
  }
});

test('SECURITY 25, 29: a blob is taken by nobody whose URL does not say so', async () => {
  const { cell } = listeners.peers;
  const expired = listeners.put.replace(/expires=\d+/, 'expires=1');
  const other = listeners.put.replace('/one?', '/two?');
  for (const path of ['/blobs/droplets/one', listeners.get, expired, other]) {
    const { status, bodyBytes } = await send(cell, '127.0.0.1', 'PUT', path, true);
    assert.equal(status, 403, path);
    assert.ok(bodyBytes < ENOUGH_BYTES, `${path}: ${bodyBytes} bytes`);
  }
});

test('SECURITY 25: an internal call takes one message of bounded size, however it is sent', async () => {
  const { cell } = listeners.peers;
  assert.equal((await call(cell, SEND, { body: message(Buffer.alloc(0)) })).grpcStatus, '0');
  const announced = await call(cell, SEND, {
    body: message(Buffer.alloc(0), { length: 4_000_000_000 }),
    endless: true,
  });
  assert.equal(announced.grpcStatus, GRPC.exhausted, 'a length that is too much, before the message');
  assert.ok(announced.bytes < ENOUGH_BYTES, `${announced.bytes} bytes`);
  const endless = await call(cell, SEND, { body: message(Buffer.alloc(0)), endless: true });
  assert.notEqual(endless.grpcStatus, '0', 'more than one message');
  assert.ok(endless.bytes < MESSAGE_BYTES, `${endless.bytes} bytes`);
  const json = { 'content-type': 'application/json' };
  const connectMessage = await call(cell, SEND, { endless: true, headers: json });
  assert.equal(connectMessage.status, 429, 'in the Connect protocol: resource_exhausted');
  assert.ok(connectMessage.bytes < MESSAGE_BYTES, `${connectMessage.bytes} bytes`);
});

test('SECURITY 25: a compressed message is not unpacked', async () => {
  const { cell } = listeners.peers;
  const plain = Buffer.alloc(96 * MIB);
  const before = listeners.residentMb();
  for (const [encoding, packed] of [
    ['gzip', gzipSync(plain)],
    ['br', brotliCompressSync(plain)],
  ] as const) {
    const grpc = { body: message(packed, { packed: true }), headers: { 'grpc-encoding': encoding } };
    assert.equal((await call(cell, SEND, grpc)).grpcStatus, GRPC.unimplemented, encoding);
    const headers = { 'content-type': 'application/proto', 'content-encoding': encoding };
    assert.ok((await call(cell, SEND, { body: packed, headers })).status >= 400, encoding);
  }
  const grown = listeners.residentMb() - before;
  assert.ok(grown < 64, `${Math.round(grown)} MiB more`);
});

test('SECURITY 25: many large messages of one peer hold no more than their share', async () => {
  const before = listeners.residentMb();
  const half = message(Buffer.alloc(12 * MIB), { length: 12 * MIB + 1 });
  // None is whole, so that as many are held at the same time as there is room for.
  const over = new AbortController();
  let refused = 0;
  const one = async (): Promise<void> => {
    const { grpcStatus, reset } = await call(listeners.peers.cell, SEND, { body: half, waiting: over.signal });
    if (grpcStatus === GRPC.exhausted || reset === constants.NGHTTP2_ENHANCE_YOUR_CALM) refused += 1;
    if (refused >= LARGE - HELD) over.abort();
  };
  let highest = 0;
  const watch = setInterval(() => {
    highest = Math.max(highest, listeners.residentMb());
  }, 50);
  await Promise.all(Array.from({ length: LARGE }, one));
  clearInterval(watch);
  assert.ok(refused >= LARGE - HELD, `${refused} refused`);
  const grown = highest - before;
  assert.ok(grown < 280, `${Math.round(grown)} MiB more`);
});

test('SECURITY 25: fifty senders of bodies without end, whom nobody knows, leave the memory of the process as it is', async () => {
  const before = listeners.residentMb();
  const { router, cell, supervisor } = listeners.peers;
  let highest = 0;
  const watch = setInterval(() => {
    highest = Math.max(highest, listeners.residentMb());
  }, 50);
  await Promise.all(
    Array.from({ length: SENDERS }, (_, index) =>
      [
        () => send(router, 'log-cache.cupola.test', 'POST', '/api/v1/read/x', true),
        () => send(cell, '127.0.0.1', 'PUT', '/blobs/droplets/one', true),
        () => send(cell, 'log-cache.cupola.test', 'POST', '/', true),
        () => call(supervisor, SEND, { endless: true }),
      ][index % 4]!(),
    ),
  );
  clearInterval(watch);
  const grown = highest - before;
  assert.ok(highest > 0 && grown < 200, `${Math.round(grown)} MiB more`);
});

test('SECURITY 22: the admin socket is closed to every other account of the machine', async () => {
  const { adminSocket } = listeners;
  assert.equal(statSync(adminSocket).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(adminSocket)).mode & 0o777, 0o700);
  const script = `require('node:net').connect(process.argv[1]).once('connect', () => process.exit(0)).once('error', () => process.exit(9))`;
  const asNobody = spawnSync(process.execPath, ['-e', script, adminSocket], { uid: 65_534, gid: 65_534 });
  assert.equal(asNobody.status, 9, asNobody.stderr.toString());
});

test('SECURITY 25: the admin socket takes a body of bounded size, and of no unknown operation', async () => {
  for (const [path, wanted] of [
    ['/asked', 413],
    ['/nothing', 404],
  ] as const) {
    const over = connectUnix(listeners.adminSocket);
    const head = { method: 'GET', path };
    const { status, bodyBytes } = await rawRequest('http://localhost:1', head, { over, endless: true, waitMs: 20_000 });
    assert.equal(status, wanted, path);
    assert.ok(bodyBytes < ENOUGH_BYTES, `${path}: ${bodyBytes} bytes`);
  }
});
