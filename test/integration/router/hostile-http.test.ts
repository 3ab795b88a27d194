import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';
import { ask as send, sendRaw } from '../../support/http-client.ts';
import { type RequestPath, routeEntry, startRequestPath } from '../../support/request-path.ts';

let path: RequestPath;
/** Requests as the app saw them. */
const seen: { method: string; url: string; headers: Record<string, unknown>; body: string }[] = [];
/** What the app could not read as a request. */
const garbage: string[] = [];
let apiCalls = 0;

before(async () => {
  path = await startRequestPath({ firstPort: 21230, prefix: 'router-hostile' });
  const app = await path.startBackend((request, response) => {
    if (request.url === '/silent') return;
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
      response.end('app');
    });
  });
  app.server.on('clientError', (error, socket) => {
    garbage.push(error.message);
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
  });
  app.server.on('upgrade', (request, socket) => {
    if (request.url === '/refused') {
      // An app that goes on reading what it takes for the tunnel.
      socket.on('error', () => {});
      socket.on('data', (data) => seen.push({ method: '', url: '/in-the-tunnel', headers: {}, body: String(data) }));
      socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`) // RFC 6455 section 1.3
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await path.registerInstance('inst-app', app.port);
  await path.startControl(
    new Map([
      [
        'api.cupola.test',
        (request, response) => {
          apiCalls += 1;
          response.end(`API content ${request.headers['x-forwarded-proto']}`);
        },
      ],
    ]),
  );
  await path.setRoutes(
    { host: 'app.cupola.test', instances: [{ guid: 'inst-app', index: 0 }] },
    { host: 'api.cupola.test', app: 'thief', instances: [{ guid: 'inst-app', index: 0 }] },
    { host: '*.cupola.test', app: 'catch-all', instances: [{ guid: 'inst-app', index: 0 }] },
  );
});
after(() => path.close());

const raw = (text: string) =>
  sendRaw(
    { host: '127.0.0.1', port: path.httpsPort, servername: 'app.cupola.test', ca: path.pki.routerRoot.cert },
    text,
  );
const HOST = 'Host: app.cupola.test\r\n';

test('SECURITY-TESTS 1: CL.TE, TE.CL and duplicate lengths smuggle no request', async () => {
  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: app.cupola.test\r\n\r\n';
  const attempts = [
    `POST /clte HTTP/1.1\r\n${HOST}Content-Length: ${5 + smuggled.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    `POST /tecl HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
    `POST /dup HTTP/1.1\r\n${HOST}Content-Length: 0\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    `POST /list HTTP/1.1\r\n${HOST}Content-Length: 0, ${smuggled.length}\r\n\r\n${smuggled}`,
    `POST /te HTTP/1.1\r\n${HOST}Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n${smuggled}`,
    `POST /te2 HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${smuggled}`,
    `POST /space HTTP/1.1\r\n${HOST}Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n${smuggled}`,
  ];
  for (const attempt of attempts) {
    const answer = await raw(attempt);
    // Two lengths that disagree in kind: the chunks count, and the connection ends (RFC 9112 section 6.3).
    const status = /^POST \/(clte|tecl) /.test(attempt) ? 200 : 400;
    assert.equal(answer.slice(0, 12), `HTTP/1.1 ${status}`, attempt.slice(0, 12));
    assert.equal(answer.match(/HTTP\/1\.1 /g)?.length, 1, `one answer to ${attempt.slice(0, 12)}`);
  }
  assert.deepEqual(garbage, [], 'what is refused never comes to the app');
  assert.equal(seen.filter(({ url }) => url === '/smuggled').length, 0);
  for (const { headers } of seen) {
    assert.ok(!(headers['transfer-encoding'] && headers['content-length']), 'the app never sees both');
  }
});

test('SECURITY-TESTS 2: Connection cannot strip what the router says', async () => {
  await raw(
    `GET /hop HTTP/1.1\r\n${HOST}Connection: close, X-Forwarded-For, X-Forwarded-Proto, X-Vcap-Request-Id\r\n\r\n`,
  );
  const { headers } = seen.findLast(({ url }) => url === '/hop')!;
  assert.equal(headers['x-forwarded-proto'], 'https');
  assert.equal(headers['x-forwarded-for'], '127.0.0.1');
  assert.equal(/x-forwarded|vcap/i.test(String(headers.connection)), false);
});

test('SECURITY-TESTS 3: a client\u2019s X-Forwarded-Client-Cert never reaches an app', async () => {
  await raw(
    `GET /xfcc HTTP/1.1\r\n${HOST}X-Forwarded-Client-Cert: MII\r\nx-forwarded-client-cert: MII\r\nConnection: close\r\n\r\n`,
  );
  assert.equal(seen.findLast(({ url }) => url === '/xfcc')!.headers['x-forwarded-client-cert'], undefined);
});

test('one request has one host', async () => {
  const before = seen.length;
  for (const request of [
    `GET / HTTP/1.1\r\n${HOST}Host: api.cupola.test\r\n\r\n`,
    `GET http://api.cupola.test/ HTTP/1.1\r\n${HOST}\r\n`,
    'GET / HTTP/1.1\r\nHost: app.cupola.test,api.cupola.test\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: *.cupola.test\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n',
  ]) {
    assert.match(await raw(request), /^HTTP\/1\.1 400 /);
  }
  assert.equal(seen.length, before);
});

test('SECURITY-TESTS 5: oversized headers are refused with 431, and never reach an app', async () => {
  const before = seen.length;
  const answer = await raw(`GET / HTTP/1.1\r\n${HOST}X-Large: ${'a'.repeat(52_000)}\r\n\r\n`);
  assert.match(answer, /^HTTP\/1\.1 431 /);
  assert.match(answer, /431 Request Header Fields Too Large\n$/, 'it is the router that says so');
  assert.equal(seen.length, before);
});

test('SECURITY-TESTS 5: headers that fit no buffer are refused as well', async () => {
  const before = seen.length;
  const answer = await raw(`GET / HTTP/1.1\r\n${HOST}X-Large: ${'a'.repeat(200_000)}\r\n\r\n`);
  assert.match(answer, /^HTTP\/1\.1 431 /);
  assert.match(answer, /<html>/, 'it is HAProxy that says so: nobody has read them');
  assert.equal(seen.length, before);
});

test('SECURITY-TESTS 10: an app that claims a system host gets none of its requests', async () => {
  const answer = await send({ host: 'api.cupola.test', port: path.httpsPort, ca: path.pki.routerRoot.cert });
  assert.equal(answer.body, 'API content https');
  assert.ok(path.lines.some((line) => line.includes('claims the system host api.cupola.test')));
});

test('SECURITY-TESTS 10: a wildcard beside the system hosts that has no instance takes none of their requests', async () => {
  const { entries } = path.state;
  path.state.entries = [routeEntry({ host: '*.cupola.test', app: 'wild', instances: [] }, path.cellPort)];
  await path.converged();
  const ask = (host: string) => send({ host, port: path.httpsPort, ca: path.pki.routerRoot.cert });
  assert.equal((await ask('nobody.cupola.test')).status, 503);
  assert.equal((await ask('api.cupola.test')).body, 'API content https');
  path.state.entries = entries;
  await path.converged();
});

test('ARCH-06: plain HTTP to a system host yields a redirect or a refusal, never API content', async () => {
  const before = apiCalls;
  const get = await send({ host: 'api.cupola.test', port: path.httpPort, path: '/v3/apps?page=2' });
  assert.equal(get.status, 308);
  assert.equal(get.headers.location, `https://api.cupola.test:${path.httpsPort}/v3/apps?page=2`);
  const post = await send({ host: 'api.cupola.test', port: path.httpPort, method: 'POST', body: '{}' });
  assert.equal(post.status, 403);
  const claimed = await send({
    host: 'API.cupola.test',
    port: path.httpPort,
    headers: { 'X-Forwarded-Proto': 'https' },
  });
  assert.equal(claimed.status, 308);
  assert.equal(apiCalls, before);
  assert.equal((await send({ host: 'app.cupola.test', port: path.httpPort })).body, 'app', 'apps are served');
});

test('a websocket passes in both directions', async () => {
  const answer = await raw(
    `GET /ws HTTP/1.1\r\n${HOST}Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\nping-through-the-tunnel`,
  );
  assert.match(answer, /^HTTP\/1\.1 101 /);
  assert.match(answer, /ping-through-the-tunnel$/);
});

test('an upgrade to HTTP/2 in the clear is not passed on', async () => {
  await raw(
    `GET /h2c HTTP/1.1\r\n${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n`,
  );
  const { headers } = seen.findLast(({ url }) => url === '/h2c')!;
  assert.equal(headers.upgrade, undefined);
  assert.equal(headers['http2-settings'], undefined);
});

test('a websocket over HTTP/2 (RFC 8441) passes as well', async () => {
  const session = connectHttp2(`https://app.cupola.test:${path.httpsPort}`, {
    host: '127.0.0.1',
    ca: path.pki.routerRoot.cert,
    createConnection: () =>
      connect({
        host: '127.0.0.1',
        port: path.httpsPort,
        servername: 'app.cupola.test',
        ca: path.pki.routerRoot.cert,
        ALPNProtocols: ['h2'],
      }),
  });
  await once(session, 'remoteSettings');
  const stream = session.request(
    {
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':path': '/ws',
      ':scheme': 'https',
      ':authority': 'app.cupola.test',
      'sec-websocket-version': '13',
    },
    { endStream: false },
  );
  const [headers] = await once(stream, 'response');
  assert.equal(headers[':status'], 200);
  stream.write('over h2');
  const [data] = await once(stream, 'data');
  assert.equal(String(data), 'over h2');
  session.destroy();
});

test('SECURITY-TESTS 11: an upgrade the app refuses leaves no tunnel', async () => {
  const answer = await raw(
    `GET /refused HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\nGET /tunnelled HTTP/1.1\r\n${HOST}\r\n`,
  );
  assert.match(answer, /^HTTP\/1\.1 403 /);
  assert.deepEqual(
    seen.filter(({ url }) => url === '/in-the-tunnel'),
    [],
  );
  const own = seen.find(({ url }) => url === '/tunnelled');
  if (own) assert.match(String(own.headers['x-vcap-request-id']), /^[0-9a-f-]{36}$/, 'it is a request of its own');
});

test('SECURITY-TESTS 6: clients that go away take no instance out', async () => {
  const requests = [
    `POST /aborted HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\nhalf`,
    `GET /silent HTTP/1.1\r\n${HOST}\r\n`,
  ];
  const sockets = Array.from({ length: 30 }, (_, index) => {
    const socket = connect(
      { host: '127.0.0.1', port: path.httpsPort, servername: 'app.cupola.test', ca: path.pki.routerRoot.cert },
      () => {
        socket.write(requests[index % 2]!);
        setTimeout(() => socket.destroy(), 50);
      },
    );
    socket.on('error', () => {});
    return new Promise((resolve) => socket.on('close', resolve));
  });
  await Promise.all(sockets);
  for (let count = 0; count < 10; count += 1) {
    const answer = await send({ host: 'app.cupola.test', port: path.httpsPort, ca: path.pki.routerRoot.cert });
    assert.equal(answer.status, 200);
  }
});
