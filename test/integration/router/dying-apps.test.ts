import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { type Field, FRAME, frame, literalFields, RawHttp2, requestFrames } from '../../support/raw-http2.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

/*
 * An app that dies while it has a request. Whoever asked gets 502 with the reason, over HTTP/2 and on a kept connection too,
 * and the app has seen a request that may not be repeated once.
 */
let path: RequestPath;
/** Request lines, each time one came to the app. */
const seen: string[] = [];
/** What becomes of a connection to the app once these bytes of a request are there. */
const DEATHS: Record<string, (socket: Socket) => void> = {
  closes: (socket) => socket.destroy(),
  resets: (socket) => socket.resetAndDestroy(),
  'half-an-answer': (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Le'),
};
const HOST = 'app.cupola.test';
const app = createServer((socket) => {
  socket.on('error', () => {});
  socket.setEncoding('latin1');
  let waiting = '';
  let dying = false;
  socket.on('data', (chunk) => {
    if (dying) return; // more of a body that had begun
    waiting += chunk;
    const end = waiting.indexOf('\r\n\r\n');
    if (end < 0) return;
    const line = waiting.slice(0, waiting.indexOf('\r\n'));
    const dies = DEATHS[/^\w+ \/([\w-]+)/.exec(line)?.[1] ?? ''];
    seen.push(line);
    dying = dies !== undefined;
    if (dies) return dies(socket);
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    waiting = '';
  });
});

before(async () => {
  path = await startRequestPath({ firstPort: 21360, prefix: 'router-dying' });
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  await path.registerInstance('inst-app', (app.address() as AddressInfo).port);
  await path.setRoutes({ host: HOST, instances: [{ guid: 'inst-app', index: 0 }] });
});
after(async () => {
  app.close();
  await path.close();
});

const to = () => ({ host: '127.0.0.1', port: path.httpsPort, servername: HOST, ca: path.pki.routerRoot.cert });

/** A request's body as it stands when the app dies. */
const BODIES: Record<
  string,
  { headers: Field[]; frames: (stream: number) => Buffer; http1: string; chunked?: boolean; methods: string[] }
> = {
  'no body': {
    headers: [],
    frames: () => Buffer.alloc(0),
    http1: '',
    methods: ['GET', 'HEAD', 'OPTIONS', 'POST', 'DELETE'],
  },
  'a small body': {
    headers: [['content-length', '5']],
    frames: (stream) => frame(FRAME.data, 1, stream, Buffer.from('small')),
    http1: 'small',
    methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
  },
  'a body that is not whole yet': {
    headers: [['content-length', '500000']],
    frames: (stream) => frame(FRAME.data, 0, stream, Buffer.alloc(16_000, 'x')),
    http1: 'x'.repeat(16_000),
    methods: ['GET', 'POST', 'PUT'],
  },
  'a small body whose length is not told': {
    headers: [],
    frames: (stream) => frame(FRAME.data, 1, stream, Buffer.from('small')),
    http1: '5\r\nsmall\r\n0\r\n\r\n',
    chunked: true,
    methods: ['POST', 'PATCH'],
  },
  'a body that is not whole yet, whose length is not told': {
    headers: [],
    frames: (stream) => frame(FRAME.data, 0, stream, Buffer.alloc(16_000, 'x')),
    http1: `3e80\r\n${'x'.repeat(16_000)}\r\n`,
    chunked: true,
    methods: ['POST', 'PUT'],
  },
};

/** `first`: of a connection's streams; what HAProxy refuses there, clients send again by themselves. */
async function overHttp2(method: string, target: string, body: (typeof BODIES)[string], first = true): Promise<string> {
  const fields = (verb: string, path: string): Field[] => [
    [':method', verb],
    [':scheme', 'https'],
    [':authority', HOST],
    [':path', path],
  ];
  const stream = first ? 1 : 3;
  const asked = [...fields(method, target), ...body.headers];
  const frames =
    body.http1 === ''
      ? requestFrames(stream, asked)
      : Buffer.concat([frame(FRAME.headers, 4, stream, literalFields(asked)), body.frames(stream)]);
  const connection = new RawHttp2(to(), first ? frames : requestFrames(1, fields('GET', '/first')));
  if (!first) {
    await connection.until(() => connection.ended(1), 10_000);
    assert.equal(connection.stream(1).status, 200);
    connection.write(frames);
  }
  const result = connection.stream(stream);
  await connection.until(() => result.status !== null || connection.ended(stream), 10_000);
  connection.close();
  return result.reset === null || result.status !== null ? `${result.status}` : `reset ${result.reset}`;
}

/** The second stream of a connection. */
function onKeptHttp2(method: string, target: string, body: (typeof BODIES)[string]): Promise<string> {
  return overHttp2(method, target, body, false);
}

/** The second request of a connection. */
async function onKeptConnection(method: string, target: string, body: (typeof BODIES)[string]): Promise<string> {
  const socket = connect(to(), () => socket.write(`GET /first HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`));
  socket.on('error', () => {});
  const [first] = await once(socket, 'data');
  assert.match(String(first), /^HTTP\/1\.1 200 /);
  const fields: Field[] = body.chunked ? [['transfer-encoding', 'chunked']] : body.headers;
  const headers = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.write(`${method} ${target} HTTP/1.1\r\nHost: ${HOST}\r\n${headers}\r\n${body.http1}`);
  const answer = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => ['closed'])]);
  socket.destroy();
  const text = String(answer[0]);
  if (/^HTTP\/1\.1 502 /.test(text)) assert.match(text, /^x-cf-routererror: endpoint_failure\r$/im);
  return /^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? text;
}

const WAYS = { 'HTTP/2': overHttp2, 'a kept HTTP/2 connection': onKeptHttp2, 'a kept connection': onKeptConnection };
for (const [protocol, send] of Object.entries(WAYS)) {
  describe(`an app dies with a request over ${protocol}`, () => {
    for (const [what, body] of Object.entries(BODIES)) {
      for (const method of body.methods) {
        for (const death of Object.keys(DEATHS)) {
          test(`RTR-03: ${method} with ${what}: the app ${death}, and the client gets 502`, async () => {
            const target = `/${death}/${protocol.length}/${encodeURIComponent(what)}`;
            seen.length = 0;
            assert.equal(await send(method, target, body), '502');
            const times = seen.filter((line) => line.startsWith(`${method} ${target} `)).length;
            // What has begun to answer is not asked again.
            const repeatable = ['GET', 'HEAD', 'OPTIONS'].includes(method) && death !== 'half-an-answer';
            // A request whose body has not come is not at hand any more to be sent again.
            assert.equal(times, repeatable && !what.includes('not whole') ? 2 : 1);
          });
        }
      }
    }
  });
}
