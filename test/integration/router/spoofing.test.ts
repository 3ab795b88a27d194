import assert from 'node:assert/strict';
import { connect as connectPlain } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { connect } from 'node:tls';
import { ask, sendRaw } from '../../support/http-client.ts';
import { type RawBackend, startRawBackend, valuesOf } from '../../support/raw-backend.ts';
import { requestFrames, sendHttp2 } from '../../support/raw-http2.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

let path: RequestPath;
let app: RawBackend;
let apiCalls = 0;

before(async () => {
  path = await startRequestPath({ firstPort: 21290, prefix: 'router-spoofing' });
  app = await startRawBackend();
  await path.registerInstance('inst-app', app.port);
  await path.startControl(
    new Map([
      [
        'api.cupola.test',
        (_, response) => {
          apiCalls += 1;
          response.end('API');
        },
      ],
    ]),
  );
  await path.setRoutes({ host: 'app.cupola.test', instances: [{ guid: 'inst-app', index: 0 }] });
});
beforeEach(() => {
  app.requests.length = 0;
});
after(async () => {
  app.close();
  await path.close();
});

const to = (servername = 'app.cupola.test') => ({
  host: '127.0.0.1',
  port: path.httpsPort,
  servername,
  ca: path.pki.routerRoot.cert,
});
const HOST = 'Host: app.cupola.test';
const send = async (...lines: string[]) => {
  await sendRaw(to(), ['GET /a HTTP/1.1', HOST, ...lines, '', ''].join('\r\n'));
  return app.requests.at(-1);
};

test('SECURITY-TESTS 2: Connection strips neither forwarding nor trace headers', async () => {
  const names = ['X-Forwarded-For', 'X-Forwarded-Proto', 'X-Vcap-Request-Id', 'traceparent', 'X-B3-TraceId', 'Host'];
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const request = await send(
    `Connection: close, ${names.join(', ')}`,
    `traceparent: ${trace}`,
    'X-B3-TraceId: 463ac35c',
  );
  assert.deepEqual(valuesOf(request, 'x-forwarded-for'), ['127.0.0.1']);
  assert.deepEqual(valuesOf(request, 'x-forwarded-proto'), ['https']);
  assert.equal(valuesOf(request, 'x-vcap-request-id').length, 1);
  assert.deepEqual(valuesOf(request, 'traceparent'), [trace]);
  assert.deepEqual(valuesOf(request, 'x-b3-traceid'), ['463ac35c']);
  assert.equal(valuesOf(request, 'connection').join().includes('X-'), false, 'the list does not reach the app');
});

test('SECURITY-TESTS 2: headers of one hop end at the router', async () => {
  const request = await send(
    'Keep-Alive: timeout=1',
    'Proxy-Connection: keep-alive',
    'Proxy: http://evil.example.org/',
  );
  for (const name of ['keep-alive', 'proxy-connection', 'proxy']) assert.deepEqual(valuesOf(request, name), []);
});

test('SECURITY-TESTS 3: X-Forwarded-Client-Cert never reaches an app, however it is spelt', async () => {
  const request = await send(
    'X-Forwarded-Client-Cert: MII',
    'x-forwarded-client-cert: MII',
    'X_Forwarded_Client_Cert: MII',
    'X-Forwarded_Client-Cert: MII',
    'X-Forwarded-Client-Cert-Chain: MII',
  );
  assert.doesNotMatch(request!.head, /client.cert/i);
  await sendHttp2(
    to(),
    requestFrames(1, [
      [':method', 'GET'],
      [':scheme', 'https'],
      [':authority', 'app.cupola.test'],
      [':path', '/h2'],
      ['x-forwarded-client-cert', 'MII'],
      ['x_forwarded_client_cert', 'MII'],
    ]),
  );
  assert.doesNotMatch(app.requests.find(({ line }) => line.includes('/h2'))!.head, /client.cert/i);
});

test('a client cannot say for the router who asked, for which host, and how', async () => {
  const request = await send(
    'Forwarded: for=6.6.6.6;host=api.cupola.test;proto=http',
    'X-Forwarded-Host: api.cupola.test',
    'X_Forwarded_Host: api.cupola.test',
    'X-Forwarded-Port: 1',
    'X-Forwarded-Proto: http',
    'X_Forwarded_Proto: http',
    'X-Forwarded-Prefix: /admin',
    'X-Real-IP: 6.6.6.6',
    'X-Vcap-Request-Id: mine',
    'X-Request-Start: 1',
  );
  assert.doesNotMatch(request!.head, /forwarded[-_](host|port|prefix)|^forwarded:|real-ip|_forwarded/im);
  assert.deepEqual(valuesOf(request, 'x-forwarded-proto'), ['https']);
  assert.match(valuesOf(request, 'x-vcap-request-id').join(), /^[0-9a-f-]{36}$/);
  assert.match(valuesOf(request, 'x-request-start').join(), /^\d{13}$/);
});

test('X-Forwarded-For is one list that ends in the address that connected', async () => {
  const request = await send('X-Forwarded-For: 6.6.6.6', 'X-Forwarded-For: 7.7.7.7', 'X_Forwarded_For: 8.8.8.8');
  assert.deepEqual(valuesOf(request, 'x-forwarded-for'), ['7.7.7.7, 127.0.0.1']);
});

test('one request has one host: what contradicts Host is refused', async () => {
  for (const text of [
    `GET http://api.cupola.test/v3/apps HTTP/1.1\r\n${HOST}\r\n\r\n`,
    `GET https://api.cupola.test/v3/apps HTTP/1.1\r\n${HOST}\r\n\r\n`,
    `GET /a HTTP/1.1\r\n${HOST}\r\nHost: api.cupola.test\r\n\r\n`,
    `GET /a HTTP/1.1\r\n${HOST}\r\n${HOST}\r\nHost: api.cupola.test\r\n\r\n`,
    'GET /a HTTP/1.1\r\nHost: app.cupola.test, api.cupola.test\r\n\r\n',
    'GET /a HTTP/1.1\r\nHost: app.cupola.test api.cupola.test\r\n\r\n',
    'GET /a HTTP/1.1\r\nHost: app.cupola.test/api.cupola.test\r\n\r\n',
    'GET /a HTTP/1.1\r\nHost: api.cupola.test#app.cupola.test\r\n\r\n',
    'GET /a HTTP/1.1\r\nHost: someone@app.cupola.test\r\n\r\n',
    'GET /a HTTP/1.1\r\nHost: app.cupola.test:port\r\n\r\n',
    'GET /a HTTP/1.1\r\nHost:\r\n\r\n',
  ]) {
    assert.match(await sendRaw(to(), text), /^HTTP\/1\.1 400 /, text);
  }
  assert.deepEqual(app.requests, []);
  assert.equal(apiCalls, 0);
});

test('SECURITY-TESTS 4: the name in the handshake decides nothing: an app is chosen by Host alone', async () => {
  // No host of this router demands client certificates, so that there is none to be got round by another SNI; connections
  // are shared between the hosts of one wildcard certificate (RFC 9113, section 9.1.1).
  const app1 = await sendRaw(to('api.cupola.test'), `GET /a HTTP/1.1\r\n${HOST}\r\n\r\n`);
  assert.match(app1, /GET \/a HTTP\/1\.1$/);
  assert.equal(apiCalls, 0);
  const api = await sendRaw(to('app.cupola.test'), 'GET /v3/info HTTP/1.1\r\nHost: api.cupola.test\r\n\r\n');
  assert.match(api, /API/);
  assert.equal(app.requests.length, 1);
});

test('a method override does not change what the router enforces', async () => {
  const overrides = ['X-HTTP-Method-Override: GET', 'X-Method-Override: GET', 'X-HTTP-Method: GET'];
  for (const override of overrides) {
    const socket = connectPlain(path.httpPort, '127.0.0.1');
    socket.write(`POST /v3/apps HTTP/1.1\r\nHost: api.cupola.test\r\n${override}\r\nContent-Length: 0\r\n\r\n`);
    const answer = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())));
    socket.destroy();
    assert.match(answer, /^HTTP\/1\.1 403 /, 'POST in the clear stays POST in the clear');
  }
  for (const [line, status] of [
    ['TRACE /a', 405],
    ['CONNECT /a', 400],
    ['CONNECT app.cupola.test:443', 405],
    ['CONNECT other.cupola.test:22', 400],
  ] as const) {
    // What follows a CONNECT is a request to one reading and a tunnel's bytes to another: nothing after it is read.
    const answer = await sendRaw(to(), `${line} HTTP/1.1\r\n${HOST}\r\n\r\nGET /a HTTP/1.1\r\n${HOST}\r\n\r\n`);
    assert.deepEqual(answer.match(/HTTP\/1\.1 \d{3}/g), [`HTTP/1.1 ${status}`], line);
  }
  assert.deepEqual(app.requests, []);
});

test('SECURITY-TESTS 5: request lines and headers beyond the limits are refused, and too many headers with 431', async () => {
  const many = Array.from({ length: 250 }, (_, index) => `X-${index}: 1`);
  const refused: [string, RegExp][] = [
    [`GET /a HTTP/1.1\r\n${HOST}\r\n${many.join('\r\n')}\r\n\r\n`, /^HTTP\/1\.1 431 /],
    [`GET /a HTTP/1.1\r\n${HOST}\r\nCookie: ${'a'.repeat(52_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
    [`GET /${'a'.repeat(52_000)} HTTP/1.1\r\n${HOST}\r\n\r\n`, /^HTTP\/1\.1 414 /],
    [`GET /${'a'.repeat(200_000)} HTTP/1.1\r\n${HOST}\r\n\r\n`, /^HTTP\/1\.1 414 /],
    [`${'A'.repeat(200_000)} / HTTP/1.1\r\n${HOST}\r\n\r\n`, /^HTTP\/1\.1 414 /],
    [`GET /a HTTP/1.1\r\nHost: ${'a'.repeat(200_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
  ];
  for (const [text, expected] of refused) assert.match(await sendRaw(to(), text), expected);
  assert.deepEqual(app.requests, []);
  const flood = connect(to());
  flood.on('error', () => {});
  flood.write(`GET /a HTTP/1.1\r\n${HOST}\r\n`);
  const closed = new Promise((resolve) => flood.on('close', resolve));
  for (let count = 0; count < 10_000 && flood.writable; count += 1) flood.write(`X-${count}: ${'f'.repeat(100)}\r\n`);
  flood.resume();
  await closed;
  assert.deepEqual(app.requests, [], 'headers without end reach no app');
  const fine = await ask({ host: 'app.cupola.test', port: path.httpsPort, ca: path.pki.routerRoot.cert });
  assert.equal(fine.status, 200);
});

test('plain HTTP on the HTTPS port gets no answer from anybody', async () => {
  const socket = connectPlain(path.httpsPort, '127.0.0.1');
  let received = '';
  socket.setEncoding('latin1');
  socket.on('data', (data) => {
    received += data;
  });
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.on('close', resolve));
  socket.write(`GET /a HTTP/1.1\r\n${HOST}\r\n\r\n`);
  await closed;
  assert.doesNotMatch(received, /HTTP/);
  assert.deepEqual(app.requests, []);
});

test('RTR-05: nobody but the router gets past the cell proxy, whatever the request says', async () => {
  const direct = { host: '127.0.0.1', port: path.cellPort, servername: 'inst-app', ca: path.pki.instanceRoot.cert };
  const request = `GET /direct HTTP/1.1\r\n${HOST}\r\nX-Forwarded-Client-Cert: MII\r\n\r\n`;
  await assert.rejects(sendRaw(direct, request));
  const control = { cert: path.pki.control.cert, key: path.pki.control.key };
  assert.equal(await sendRaw({ ...direct, ...control }, request), '');
  assert.deepEqual(app.requests, []);
});
