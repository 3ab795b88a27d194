import assert from 'node:assert/strict';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import {
  data,
  END_STREAM,
  type Ending,
  earlyRequest,
  endEarly,
  HTTP2_ENDINGS,
  LENGTH,
  SMUGGLED,
} from '../../support/early-endings.ts';
import { ask } from '../../support/http-client.ts';
import { type RawBackend, startRawBackend } from '../../support/raw-backend.ts';
import { RawHttp2, requestFrames } from '../../support/raw-http2.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

/*
 * An app may answer before it has read the body. Then the router's connection to it is good for nobody else until the body is
 * there to its last byte, however the client ends. Each case: an attacker's request that stays short or late, then clients
 * beside it, who must get their own answers at once.
 */
const EARLY: Record<string, string> = {
  '413': 'HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nearly',
  '401': 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n',
  '200': 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly',
  '204': 'HTTP/1.1 204 No Content\r\n\r\n',
  '302': 'HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n',
  '304': 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
  chunked: 'HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n0\r\n\r\n',
  '100-then-413': 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nearly',
  '103-then-200':
    'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly',
};

let path: RequestPath;
let app: RawBackend;
let api: RawBackend;
/** Heads of requests that it answers early. */
const apiSaw: string[] = [];
const nodeApp = createHttp2Server((request, response) => {
  if (request.url.startsWith('/early')) response.writeHead(413).end('early');
  else request.on('end', () => response.end(`GET ${request.url} HTTP/1.1`)).resume();
});

before(async () => {
  path = await startRequestPath({
    firstPort: 21330,
    prefix: 'router-early',
    changeSettings: (settings) => ({ ...settings, http2Apps: true }),
  });
  const answerEarly = (line: string) => EARLY[/^\w+ \/early\/([\w-]+) /.exec(line)?.[1] ?? ''] ?? null;
  const seen = (line: string) => {
    if (line.includes(' /early/')) apiSaw.push(line);
    return answerEarly(line);
  };
  app = await startRawBackend({ answerEarly });
  const identity = { ...path.pki.control, ca: path.pki.platformRoot.cert };
  api = await startRawBackend({ answerEarly: seen, port: path.controlPort, tls: identity });
  await new Promise<void>((resolve) => nodeApp.listen(0, '127.0.0.1', resolve));
  await path.registerInstance('inst-app', app.port);
  await path.registerInstance('inst-two', (nodeApp.address() as AddressInfo).port);
  await path.setRoutes(
    { host: 'app.cupola.test', instances: [{ guid: 'inst-app', index: 0 }] },
    { host: 'two.cupola.test', app: 'two', protocol: 'http2', instances: [{ guid: 'inst-two', index: 0 }] },
  );
});
after(async () => {
  app.close();
  api.close();
  nodeApp.close();
  await path.close();
});

const to = (host: string) => ({
  host: '127.0.0.1',
  port: path.httpsPort,
  servername: host,
  ca: path.pki.routerRoot.cert,
});

/** Several at a time, so that each kept connection is used. */
async function victims(host: string, what: string): Promise<void> {
  const asked = Array.from({ length: 3 }, async (_, index) => {
    const target = `/victim/${index}`;
    const request = ask({ host, port: path.httpsPort, path: target, ca: path.pki.routerRoot.cert });
    const late = new AbortController();
    const answer = await Promise.race([request, delay(3_000, null, { signal: late.signal }).catch(() => null)]);
    late.abort();
    assert.equal(answer?.body, `GET ${target} HTTP/1.1`, `${what}: a client beside it gets its own answer`);
  });
  await Promise.all(asked);
}

/** What the app or the API says as its own answer. */
const STATUS: Record<string, number> = { chunked: 400, '100-then-413': 413, '103-then-200': 200 };
const statusOf = (name: string): number => STATUS[name] ?? Number(name);

/** Of a body that the router waits for to the API it holds this much, and what does not fit goes on: less than a window of HTTP/2. */
const BUFFERED = 65_000;
const MUCH_LONGER = 3_000_000;
/** Of these endings the last frames fit what is left of the window. */
const AFTER_THE_BUFFER = [
  'a short body, ended by DATA',
  'a short body, ended by an empty DATA',
  'a short body that is a request',
  'padding in the place of the body',
  'a short body, ended by trailers',
  'a reset: CANCEL',
  'a reset: NO_ERROR',
  'a short body, ended and then reset',
  'GOAWAY',
  'a client that goes away',
  'a client that never ends',
  'no length at all',
  'no length at all, and a reset',
  'an empty trailer section',
];

/** The same ending, of a body that fills the router's buffer before. */
function afterTheBuffer(ending: Ending): Ending {
  const first = (id: number) => Buffer.concat(Array.from({ length: 5 }, () => data(id, BUFFERED / 5)));
  return { ...ending, length: ending.length === null ? null : MUCH_LONGER, first };
}

describe('clients of HTTP/2', () => {
  for (const [backend, host] of Object.entries({
    'an app': 'app.cupola.test',
    'an app of HTTP/2': 'two.cupola.test',
  })) {
    for (const [name, ending] of Object.entries(HTTP2_ENDINGS)) {
      test(`SECURITY-TESTS 1: ${backend} answers early, ${name}`, async () => {
        for (const status of host.startsWith('two') ? ['413'] : Object.keys(EARLY)) {
          await attackHttp2(host, status, ending);
        }
        assert.ok(!app.requests.some(({ line }) => line.includes('/smuggled')));
      });
    }
  }

  for (const name of AFTER_THE_BUFFER) {
    test(`SECURITY-TESTS 1: the API answers early, ${name}`, async () => {
      for (const status of Object.keys(EARLY)) {
        await attackHttp2('api.cupola.test', status, afterTheBuffer(HTTP2_ENDINGS[name]!));
      }
      assert.ok(!api.requests.some(({ line }) => line.includes('/smuggled')));
    });
  }

  test('SECURITY-TESTS 1: the API sees nothing of a short body that does not become whole, however it ends', async () => {
    const attack = (ending: Ending) =>
      endEarly(to('api.cupola.test'), 'api.cupola.test', '/early/413', ending, { waitMs: 100 });
    apiSaw.length = 0;
    const seen = await attack(afterTheBuffer({ leaves: 'stays' }));
    await path.until('the API to see a body that no buffer holds', () => apiSaw.length === 1);
    seen.close();
    for (const name of AFTER_THE_BUFFER) {
      const ending = HTTP2_ENDINGS[name]!;
      if (name === 'no length at all') continue; // its end makes it whole
      const connection = await attack(ending);
      await victims('api.cupola.test', name);
      assert.equal(apiSaw.length, 1, name);
      assert.notEqual(connection.stream(1).status, 413, name);
      connection.close();
    }
  });

  test('SECURITY-TESTS 1: two streams of one connection do not meet each other\u2019s rest', async () => {
    const connection = new RawHttp2(to('app.cupola.test'));
    for (let id = 1; id < 40; id += 4) {
      connection.write(
        Buffer.concat([
          earlyRequest(id, 'app.cupola.test', '/early/413'),
          data(id, 10),
          earlyRequest(id + 2, 'app.cupola.test', '/early/204'),
        ]),
      );
      await connection.until(() => connection.stream(id).status !== null, 10_000);
      connection.write(Buffer.concat([data(id, 1, END_STREAM), data(id + 2, 1, END_STREAM)]));
      await connection.until(() => connection.ended(id) && connection.ended(id + 2), 10_000);
      await victims('app.cupola.test', `stream ${id}`);
    }
    connection.close();
  });

  test('SECURITY-TESTS 1: a GET with a length, which would be tried again, is no way round', async () => {
    for (const status of Object.keys(EARLY)) {
      await attackHttp2('app.cupola.test', status, { last: (id) => data(id, 1, END_STREAM) }, 'GET');
    }
  });
});

async function attackHttp2(host: string, status: string, ending: Ending, method = 'POST'): Promise<void> {
  const connection = await endEarly(to(host), host, `/early/${status}`, ending, { method });
  /** Then it is the router that refuses it, before anybody hears of it. */
  const endsAtOnce = ending.last === undefined && ending.leaves === undefined;
  if (!endsAtOnce) assert.equal(connection.stream(1).status, statusOf(status), 'it answers before the end');
  // What the router makes of the end takes it a moment; its own next stream shows that it has read it.
  if (ending.leaves === undefined) {
    connection.write(
      requestFrames(3, [
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', host],
        [':path', '/own'],
      ]),
    );
    await connection.until(() => connection.ended(3), 10_000);
    const { status: got, body, closed, goaway } = connection.stream(3);
    if (!closed && goaway === null)
      assert.deepEqual([got, body], [200, 'GET /own HTTP/1.1'], `${status}: its own next`);
  }
  await victims(host, status);
  connection.close();
}

const WEBSOCKET_KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
const HTTP1_ENDINGS: Record<string, { head: string[]; first: string; last?: string; leaves?: 'stays' | 'closes' }> = {
  'a short body, then the end': { head: [`Content-Length: ${LENGTH}`], first: 'xxxxxxxxxx', leaves: 'closes' },
  'a short body, then nothing': { head: [`Content-Length: ${LENGTH}`], first: 'xxxxxxxxxx', leaves: 'stays' },
  'a short body, then a request': { head: [`Content-Length: ${LENGTH}`], first: 'x', last: SMUGGLED },
  'a body that comes late': { head: [`Content-Length: ${LENGTH}`], first: 'x', last: 'x'.repeat(LENGTH - 1) },
  'chunks that stop': { head: ['Transfer-Encoding: chunked'], first: '5\r\nabcde\r\n', leaves: 'closes' },
  'a chunk that stops': { head: ['Transfer-Encoding: chunked'], first: 'ff\r\nabcde', last: SMUGGLED },
  Expect: { head: [`Content-Length: ${LENGTH}`, 'Expect: 100-continue'], first: '', leaves: 'stays' },
  'Expect, and the body late': {
    head: [`Content-Length: ${LENGTH}`, 'Expect: 100-continue'],
    first: '',
    last: 'x'.repeat(LENGTH),
  },
  'a refused upgrade': {
    head: ['Connection: Upgrade', 'Upgrade: websocket', WEBSOCKET_KEY, 'Content-Length: 400'],
    first: 'x',
    last: SMUGGLED,
  },
  'a refused upgrade without a body': {
    head: ['Connection: Upgrade', 'Upgrade: websocket', WEBSOCKET_KEY],
    first: '',
    last: SMUGGLED,
  },
};

/** The same beyond the buffer; without those whose body is whole, or waited for by the router itself. */
const API_HTTP1_ENDINGS = Object.fromEntries(
  Object.entries({
    'a short body, then the end': { leaves: 'closes' },
    'a short body, then nothing': { leaves: 'stays' },
    'a short body, then a request': { last: SMUGGLED },
    'chunks that stop': { chunked: true, leaves: 'closes' },
    'chunks, then a request': { chunked: true, last: SMUGGLED },
  } as const).map(
    ([name, { chunked, ...ending }]: [string, { chunked?: true; last?: string; leaves?: 'stays' | 'closes' }]) => {
      const body = 'x'.repeat(2 * BUFFERED);
      const head = [chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${MUCH_LONGER}`];
      return [name, { head, first: chunked ? `${body.length.toString(16)}\r\n${body}\r\n` : body, ...ending }];
    },
  ),
);

/** What a connection says until a final answer begins, or it ends. */
function finalStatus(socket: TLSSocket): Promise<number | null> {
  const { promise, resolve } = Promise.withResolvers<number | null>();
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    const [, status] = /(?:^|\r\n\r\n)HTTP\/1\.1 ([2-5]\d\d) /.exec(received) ?? [];
    if (status) resolve(Number(status));
  });
  socket.once('close', () => resolve(null));
  return promise;
}

describe('clients of HTTP/1.1', () => {
  const attacks = [
    ...Object.entries(HTTP1_ENDINGS).map((ending) => ['an app', 'app.cupola.test', ...ending] as const),
    ...Object.entries(API_HTTP1_ENDINGS).map((ending) => ['the API', 'api.cupola.test', ...ending] as const),
  ];
  for (const [backend, host, name, { head, first, last, leaves }] of attacks) {
    test(`SECURITY-TESTS 1: ${backend} answers early, ${name}`, async () => {
      for (const status of Object.keys(EARLY)) {
        const socket = connect(to(host), () =>
          socket.write([`POST /early/${status} HTTP/1.1`, `Host: ${host}`, ...head, '', first].join('\r\n')),
        );
        socket.on('error', () => {});
        assert.equal(await finalStatus(socket), statusOf(status), 'it answers before the end');
        if (last) socket.write(last);
        if (leaves === 'closes') socket.destroy();
        await delay(20);
        await victims(host, status);
        socket.destroy();
      }
    });
  }
});
