import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { ask, sendRaw } from '../../support/http-client.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

/** The router of the tests takes 1,000 connections at once. */
const MAX = 1_000;
const HOST = 'Host: app.cupola.test\r\n';
let path: RequestPath;
let whole = 0;

before(async () => {
  path = await startRequestPath({ firstPort: 21300, prefix: 'router-slow' });
  const { port, server } = await path.startBackend((request, response) => {
    if (request.url === '/large') return void response.end(Buffer.alloc(8_000_000, 'x'));
    if (request.url === '/silent') return;
    request.resume();
    request.on('end', () => {
      whole += 1;
      response.end('ok');
    });
  });
  server.on('upgrade', (request, socket) => {
    socket.on('error', () => {});
    if (request.url === '/silent') return;
    socket.write('HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n');
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ntunnel'));
  });
  await path.registerInstance('inst-app', port);
  await path.setRoutes({ host: 'app.cupola.test', instances: [{ guid: 'inst-app', index: 0 }] });
});
after(() => path.close());

const to = (localAddress = '127.0.0.1') => ({
  host: '127.0.0.1',
  port: path.httpsPort,
  servername: 'app.cupola.test',
  ca: path.pki.routerRoot.cert,
  localAddress,
});

/** Connections that each write this once they are up; resolves when all are up or refused. */
async function open(count: number, text: string, localAddress?: string): Promise<TLSSocket[]> {
  const sockets: TLSSocket[] = [];
  /** As many clients as it takes for each to stay within its share. */
  const nextAddress = () => localAddress ?? `127.0.1.${1 + (sockets.length % 20)}`;
  for (let at = 0; at < count; at += 50) {
    const batch = Array.from({ length: Math.min(50, count - at) }, () => {
      const socket = connect(to(nextAddress()));
      sockets.push(socket);
      return new Promise<void>((resolve) => {
        socket.once('secureConnect', () => socket.write(text, () => resolve()));
        socket.once('error', () => resolve());
        socket.once('close', () => resolve());
      });
    });
    await Promise.all(batch);
  }
  for (const socket of sockets) socket.on('error', () => {});
  return sockets;
}

/** Requests of an honest client, one after another, a connection each; the slowest in milliseconds. */
async function honest(count: number): Promise<number> {
  let slowest = 0;
  for (let index = 0; index < count; index += 1) {
    const started = Date.now();
    const answer = await ask({ host: 'app.cupola.test', port: path.httpsPort, ca: path.pki.routerRoot.cert });
    assert.equal(answer.body, 'ok');
    slowest = Math.max(slowest, Date.now() - started);
  }
  return slowest;
}

const end = (sockets: readonly TLSSocket[]) => {
  for (const socket of sockets) socket.destroy();
};

test('SECURITY-TESTS 5: headers, bodies and readers that never end cost no other client', async (t) => {
  const quiet = await honest(20);
  const slow = [
    ...(await open(200, `GET /slow HTTP/1.1\r\n${HOST}X-Slow: `)),
    ...(await open(100, `POST /slow HTTP/1.1\r\n${HOST}Content-Length: 1000\r\n\r\na`)),
    ...(await open(10, `GET /large HTTP/1.1\r\n${HOST}\r\n`)),
  ];
  for (const socket of slow) socket.pause();
  const trickle = setInterval(() => {
    for (const socket of slow.slice(0, 300)) if (socket.writable) socket.write('a');
  }, 500);
  const held = slow.filter(({ destroyed, readyState }) => !destroyed && readyState === 'open').length;
  assert.equal(held, slow.length, 'all of them are there at once');
  const before = whole;
  const beside = await honest(20);
  clearInterval(trickle);
  t.diagnostic(`slowest of 20 requests: ${quiet} ms alone, ${beside} ms beside ${slow.length} slow clients`);
  assert.ok(beside < 2_000, `${beside} ms`);
  assert.equal(whole - before, 20, 'none of the slow requests became whole');
  end(slow);
});

test('SECURITY-TESTS 5: headers that are not whole after 15 s are given up, however steadily they come', async () => {
  const [socket] = await open(1, `GET /slow HTTP/1.1\r\n${HOST}X-Slow: `);
  const trickle = setInterval(() => socket!.write('a'), 500);
  let received = '';
  socket!.on('data', (chunk) => {
    received += chunk.toString();
  });
  const started = Date.now();
  await new Promise((resolve) => socket!.on('close', resolve));
  clearInterval(trickle);
  const seconds = (Date.now() - started) / 1000;
  assert.ok(seconds > 10 && seconds < 20, `${seconds} s`);
  assert.match(received, /^HTTP\/1\.1 408 /);
});

test('SECURITY-TESTS 5: one address cannot take every connection', async (t) => {
  const greedy = await open(MAX, `GET /slow HTTP/1.1\r\n${HOST}X-Slow: `, '127.0.0.66');
  const kept = () => greedy.filter(({ destroyed, readyState }) => !destroyed && readyState === 'open').length;
  await path.until('the end of what is beyond a share', () => kept() <= 0.3 * MAX);
  const held = kept();
  t.diagnostic(`${held} of ${MAX} connections were kept`);
  assert.ok(held > 0.2 * MAX, `${held}`);
  const slowest = await honest(10);
  assert.ok(slowest < 2_000, `${slowest} ms`);
  end(greedy);
  await path.until('the address to be let in again', async () => {
    const answer = await sendRaw(to('127.0.0.66'), `GET / HTTP/1.1\r\n${HOST}\r\n`).catch(() => '');
    return /^HTTP\/1\.1 200 /.test(answer);
  });
});

test('SECURITY-TESTS 6: clients that go away at every stage take no instance out', async () => {
  for (const text of [
    '',
    `GET / HTTP/1.1\r\n${HOST}`,
    `GET / HTTP/1.1\r\n${HOST}\r\n`,
    `GET /large HTTP/1.1\r\n${HOST}\r\n`,
    `POST / HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\nhalf`,
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nff\r\nhalf`,
    `GET /silent HTTP/1.1\r\n${HOST}\r\n`,
    `GET /silent HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  ]) {
    const sockets = await open(20, text);
    await new Promise((resolve) => setTimeout(resolve, 50));
    end(sockets);
    await honest(5);
  }
});

test('SECURITY-TESTS 11: an upgrade the app refuses leaves no tunnel, even to an app that goes on talking', async () => {
  const upgrade = `GET /ws HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`;
  const [socket] = await open(1, upgrade);
  let received = '';
  socket!.on('data', (chunk) => {
    received += chunk.toString();
  });
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.match(received, /^HTTP\/1\.1 426 /);
  socket!.write('bytes that are no request\r\n\r\n');
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.doesNotMatch(received, /tunnel/);
  socket!.destroy();
  assert.ok((await honest(5)) < 2_000, 'and the instance is served on');
});
