import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { sendRaw } from '../../support/http-client.ts';
import { type RawBackend, startRawBackend, valuesOf } from '../../support/raw-backend.ts';
import { requestFrames, sendHttp2 } from '../../support/raw-http2.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

/* What clients and apps may say in the words of a request and an answer that an HTTP of another kind would read otherwise. */
const HOST = 'app.cupola.test';
let path: RequestPath;
let app: RawBackend;

before(async () => {
  path = await startRequestPath({ firstPort: 21440, prefix: 'router-words' });
  app = await startRawBackend();
  await path.registerInstance('inst-app', app.port);
  await path.setRoutes({ host: HOST, instances: [{ guid: 'inst-app', index: 0 }] });
});
beforeEach(() => {
  app.requests.length = 0;
});
after(async () => {
  app.close();
  await path.close();
});

const to = () => ({ host: '127.0.0.1', port: path.httpsPort, servername: HOST, ca: path.pki.routerRoot.cert });
const send = (text: string) => sendRaw(to(), text);
const plain = () => send(`GET /x HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);

test('SECURITY-TESTS 1: an address of another scheme than HTTP reaches no app, in either protocol', async () => {
  for (const address of [`ftp://${HOST}/x`, `javascript://${HOST}/x`, `httpx://${HOST}/x`]) {
    assert.match(await send(`GET ${address} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`), /^HTTP\/1\.1 400 /, address);
    const [scheme = ''] = address.split(':');
    const frames = requestFrames(1, [
      [':method', 'GET'],
      [':scheme', scheme],
      [':authority', HOST],
      [':path', '/x'],
    ]);
    assert.equal((await sendHttp2(to(), frames))[0]!.status, 400, address);
  }
  assert.deepEqual(app.requests, []);
  assert.match(await send(`OPTIONS * HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`), /^HTTP\/1\.1 (?!400)/);
});

test('SECURITY-TESTS 1: nothing below HTTP/1.1 has a Transfer-Encoding, and below 1.0 there is no request', async () => {
  const body = 'Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n';
  for (const [version = '', rest = ''] of [
    ['1.0', body],
    ['0.9', body],
    ['0.9', '\r\n'],
    ['0.0', '\r\n'],
  ]) {
    assert.match(await send(`POST /x HTTP/${version}\r\nHost: ${HOST}\r\n${rest}`), /^HTTP\/1\.1 400 /, version);
  }
  assert.deepEqual(app.requests, []);
});

test("the router's word on an answer is not an app's to give", async () => {
  app.answerNext('HTTP/1.1 503 Busy\r\nX-Cf-Routererror: no_endpoints\r\nContent-Length: 4\r\n\r\nbusy');
  const answer = await plain();
  assert.match(answer, /^HTTP\/1\.1 503 /);
  assert.match(answer, /\r\n\r\nbusy$/);
  assert.doesNotMatch(answer, /x-cf-routererror/i);
  assert.equal(valuesOf(app.requests[0], 'x-cf-routererror').length, 0);
});

for (const [what, text] of Object.entries({
  'the status 000': 'HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n',
  'a status of two digits': 'HTTP/1.1 99 Nothing\r\nContent-Length: 0\r\n\r\n',
  'a status of four digits': 'HTTP/1.1 1000 Much\r\nContent-Length: 0\r\n\r\n',
  'a NUL in a header': 'HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n',
})) {
  test(`an answer with ${what} is 502`, async () => {
    app.answerNext(text);
    assert.match(await plain(), /^HTTP\/1\.1 502 /);
    assert.match(await plain(), /^HTTP\/1\.1 200 /, 'and the app is served on');
  });
}
