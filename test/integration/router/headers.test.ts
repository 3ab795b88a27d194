import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { NOT_FROM_CLIENTS } from '../../../src/router/client-headers.ts';
import { ask, sendRaw } from '../../support/http-client.ts';
import { type RawBackend, startRawBackend, valuesOf } from '../../support/raw-backend.ts';
import { type Field, requestFrames, sendHttp2 } from '../../support/raw-http2.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

let path: RequestPath;
let app: RawBackend;
const HOST = 'app.cupola.test';

before(async () => {
  path = await startRequestPath({
    firstPort: 21340,
    prefix: 'router-headers',
    changeSettings: (settings) => ({ ...settings, http2Apps: true }),
  });
  app = await startRawBackend();
  await path.registerInstance('inst-app', app.port);
  // A port at which nobody listens: it was free a moment ago.
  const gone = createServer();
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
  const address = gone.address();
  await new Promise((resolve) => gone.close(resolve));
  await path.registerInstance('inst-gone', typeof address === 'object' && address ? address.port : 0);
  await path.startControl(new Map([['api.cupola.test', (_, response) => void response.end('API')]]));
  const gonePath = (host: string, protocol: string) => ({ host, app: host.split('.')[0]!, protocol });
  await path.setRoutes(
    { host: HOST, instances: [{ guid: 'inst-app', index: 0 }] },
    { ...gonePath('gone.cupola.test', 'http1'), instances: [{ guid: 'inst-gone', index: 0 }] },
    { ...gonePath('gone2.cupola.test', 'http2'), instances: [{ guid: 'inst-gone', index: 0 }] },
    {
      ...gonePath('half.cupola.test', 'http1'),
      instances: [
        { guid: 'inst-gone', index: 0 },
        { guid: 'inst-app', index: 1 },
      ],
    },
  );
});
beforeEach(() => {
  app.requests.length = 0;
});
after(async () => {
  app.close();
  await path.close();
});

const to = (servername = HOST) => ({
  host: '127.0.0.1',
  port: path.httpsPort,
  servername,
  ca: path.pki.routerRoot.cert,
});
const http1 = (lines: string[], host = HOST, method = 'GET', body = '') =>
  sendRaw(to(host), [`${method} /a HTTP/1.1`, `Host: ${host}`, ...lines, '', body].join('\r\n'));
const http2 = async (fields: Field[], host = HOST, method = 'GET', body?: string) => {
  const pseudo: Field[] = [
    [':method', method],
    [':scheme', 'https'],
    [':authority', host],
    [':path', '/a'],
  ];
  const [result] = await sendHttp2(to(host), requestFrames(1, [...pseudo, ...fields], body));
  return result!;
};

describe('what only the platform says', () => {
  for (const pattern of NOT_FROM_CLIENTS) {
    test(`SECURITY-TESTS 2, 3: no client sends an app ${pattern}, over HTTP/1.1 and HTTP/2`, async () => {
      const name = pattern.replace('*', 'client-cert');
      const spellings = [...new Set([name, name.replaceAll('-', '_'), name.replace('-', '_')])];
      await http1(spellings.map((spelling) => `${spelling.toUpperCase()}: planted`));
      // What names a hop is no header in HTTP/2 and ends the stream (RFC 9113 section 8.2.2).
      const hop = ['proxy-connection', 'keep-alive'].includes(name);
      const fields = spellings
        .filter((spelling) => !hop || spelling !== name)
        .map((spelling): Field => [spelling, 'planted']);
      await http2(fields);
      assert.equal(app.requests.length, 2);
      for (const { head } of app.requests) assert.doesNotMatch(head, /planted/);
    });
  }

  test('headers that are the app\u2019s affair come through', async () => {
    const names = ['True-Client-IP', 'CF-Connecting-IP', 'X-CF-App', 'X-Http-Method-Override', 'X-B3-TraceId'];
    await http1(names.map((name) => `${name}: kept`));
    for (const name of names) assert.deepEqual(valuesOf(app.requests[0], name), ['kept']);
  });
});

describe('what is one hop\u2019s', () => {
  test('an app\u2019s Keep-Alive and the like end at the router', async () => {
    app.answerNext(
      'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nX-Own: 1\r\nContent-Length: 2\r\n\r\nok',
    );
    const answer = await http1([]);
    assert.match(answer, /^x-own: 1/im);
    assert.doesNotMatch(answer, /^(keep-alive|proxy-connection|te):/im);
  });
});

describe('SECURITY-TESTS 5: how large headers may be', () => {
  const sizes: [kilobytes: number, status: number][] = [
    [45, 200],
    [52, 431],
    [60, 431],
  ];
  for (const [kilobytes, status] of sizes) {
    test(`a request with ${kilobytes} kB of headers: ${status} over both protocols`, async () => {
      const values = Array.from({ length: kilobytes }, (_, index) => [`x-large-${index}`, 'a'.repeat(985)] as const);
      const answer = await http1(values.map(([name, value]) => `${name}: ${value}`));
      assert.equal(Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]), status);
      assert.equal((await http2([...values])).status, status);
      assert.equal(app.requests.length, status === 200 ? 2 : 0);
    });

    test(`an answer with ${kilobytes} kB of headers: ${status === 200 ? 'passed on' : '502'} over both protocols`, async () => {
      const lines = Array.from({ length: kilobytes }, (_, index) => `X-Large-${index}: ${'a'.repeat(985)}\r\n`).join(
        '',
      );
      const large = `HTTP/1.1 200 OK\r\n${lines}Content-Length: 2\r\n\r\nok`;
      app.answerNext(large);
      const expected = status === 200 ? 200 : 502;
      const first = await http1([]);
      assert.equal(Number(/^HTTP\/1\.1 (\d+)/.exec(first)?.[1]), expected);
      assert.equal(/^x-cf-routererror: response_headers_too_large/im.test(first), expected === 502);
      app.answerNext(large);
      assert.equal((await http2([])).status, expected);
    });
  }

  test('an answer whose headers fit no buffer is a 502 with its reason', async () => {
    app.answerNext(`HTTP/1.1 200 OK\r\nX-Large: ${'a'.repeat(300_000)}\r\nContent-Length: 2\r\n\r\nok`);
    const answer = await http1([], HOST, 'POST', 'x');
    assert.match(answer, /^HTTP\/1\.1 502 /);
    assert.match(answer, /^x-cf-routererror: endpoint_failure/im);
    app.answerNext(`HTTP/1.1 200 OK\r\nX-Large: ${'a'.repeat(300_000)}\r\nContent-Length: 2\r\n\r\nok`);
    assert.equal((await http2([], HOST, 'POST', 'x')).status, 502);
  });
});

describe('an instance at whose port nobody listens', () => {
  for (const host of ['gone.cupola.test', 'gone2.cupola.test']) {
    for (const [method, body] of [
      ['GET', undefined],
      ['POST', 'x'.repeat(100)],
      ['POST', 'x'.repeat(15_000)],
    ] as const) {
      test(`answers 502 with endpoint_failure: ${host}, ${method} of ${body?.length ?? 0} bytes, both protocols`, async () => {
        for (let count = 0; count < 3; count += 1) {
          const answer = await http1(body ? [`Content-Length: ${body.length}`] : [], host, method, body);
          assert.match(answer, /^HTTP\/1\.1 502 /);
          assert.match(answer, /^x-cf-routererror: endpoint_failure/im);
          assert.match(answer, /Registered endpoint failed/);
          const result = await http2([], host, method, body);
          assert.equal(result.status, 502, JSON.stringify(result));
          assert.match(result.body, /Registered endpoint failed/);
        }
      });
    }
  }

  test('costs no request where another instance is there', async () => {
    // On new connections; repeats.test.ts has kept ones.
    const [over1, over2] = await Promise.all([
      Promise.all(
        Array.from({ length: 50 }, () =>
          ask({ host: 'half.cupola.test', port: path.httpsPort, ca: path.pki.routerRoot.cert }),
        ),
      ),
      Promise.all(Array.from({ length: 50 }, () => http2([], 'half.cupola.test'))),
    ]);
    for (const { status } of [...over1, ...over2]) assert.equal(status, 200);
  });
});

test('an answer that is cut in the middle shows as a cut', async () => {
  let answer = '';
  const cutter = createServer((socket) => void socket.once('data', () => socket.end(answer)));
  await new Promise<void>((resolve) => cutter.listen(0, '127.0.0.1', resolve));
  const address = cutter.address();
  await path.registerInstance('inst-cut', typeof address === 'object' && address ? address.port : 0);
  const entries = path.state.entries;
  await path.setRoutes({ host: 'cut.cupola.test', app: 'cut', instances: [{ guid: 'inst-cut', index: 0 }] });
  const over1 = () => ask({ host: 'cut.cupola.test', port: path.httpsPort, ca: path.pki.routerRoot.cert });
  answer = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n';
  await assert.rejects(over1());
  answer = 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf';
  await assert.rejects(over1());
  // HAProxy ends the stream as if it were whole: it is the length that shows the cut (RFC 9113 section 8.1.1).
  const over2 = await http2([], 'cut.cupola.test');
  assert.deepEqual([over2.status, over2.body], [200, 'half']);
  path.state.entries = entries;
  await path.converged();
  cutter.close();
});

test('the platform\u2019s own hosts tell browsers to be careful, whoever answers', async () => {
  const ca = path.pki.routerRoot.cert;
  const answer = await ask({ host: 'api.cupola.test', port: path.httpsPort, ca });
  assert.equal(answer.body, 'API');
  assert.match(String(answer.headers['strict-transport-security']), /max-age=\d{7,}/);
  assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  assert.equal(answer.headers['x-frame-options'], 'DENY');
  assert.equal(answer.headers['x-permitted-cross-domain-policies'], 'none');
  assert.equal(answer.headers['referrer-policy'], 'strict-origin-when-cross-origin');
  const plain = await ask({ host: 'api.cupola.test', port: path.httpPort });
  assert.equal(plain.headers['strict-transport-security'], undefined, 'not in the clear (RFC 6797 section 7.2)');
  const apps = await ask({ host: HOST, port: path.httpsPort, ca });
  assert.equal(apps.headers['x-frame-options'], undefined, 'an app says for itself');
});
