import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { ask } from '../../support/http-client.ts';
import { type RawBackend, startRawBackend, valuesOf } from '../../support/raw-backend.ts';
import {
  type Field,
  FRAME,
  frame,
  literalFields,
  requestFrames,
  type StreamResult,
  sendHttp2,
} from '../../support/raw-http2.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

/*
 * SECURITY-TESTS 1, where clients speak HTTP/2 and the app HTTP/1.1: nothing that HTTP/2 carries as bytes may become a line
 * or a length on the other side.
 */
let path: RequestPath;
let app: RawBackend;

before(async () => {
  path = await startRequestPath({ firstPort: 21280, prefix: 'router-downgrade' });
  app = await startRawBackend();
  await path.registerInstance('inst-app', app.port);
  await path.setRoutes({ host: 'app.cupola.test', instances: [{ guid: 'inst-app', index: 0 }] });
});
beforeEach(() => {
  app.requests.length = 0;
  app.garbage.length = 0;
});
after(async () => {
  app.close();
  await path.close();
});

/** RFC 9113, section 7. */
const PROTOCOL_ERROR = 1;
/** Of the data that follow refused headers. */
const STREAM_CLOSED = 5;

const INVALID_HOST = { status: 400, body: '400 Bad Request: invalid Host\n' };
/** What HAProxy answers by itself. */
const INVALID = {
  status: 400,
  body: '<html><body><h1>400 Bad request</h1>\nYour browser sent an invalid request.\n</body></html>\n',
};
/** What becomes of the attacks below that do not end their stream as an error of the protocol. */
const REFUSED_OTHERWISE: Record<string, Partial<StreamResult>> = {
  'transfer-encoding': { status: null, reset: STREAM_CLOSED },
  'two lengths': { status: null, reset: STREAM_CLOSED },
  'a length with a sign': { status: null, reset: STREAM_CLOSED },
  'a target in :method': INVALID,
  'an address in :scheme': INVALID,
  'an empty :authority beside host': INVALID_HOST,
  'an empty name': { status: null, closed: true },
  CONNECT: { status: 405, body: '405 Method Not Allowed\n' },
};

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: app.cupola.test\r\n\r\n';

/** The pseudo headers, with these in the place of the usual ones. */
function pseudo(changed: Record<string, string> = {}): Field[] {
  const usual = { ':method': 'GET', ':scheme': 'https', ':authority': 'app.cupola.test', ':path': '/attack' };
  return Object.entries({ ...usual, ...changed });
}
const POST = pseudo({ ':method': 'POST' });

/** Asked by who is no attacker, and by a flood whose last requests may reach the app while the next test runs. */
const ASIDE = ['GET /victim HTTP/1.1', 'GET /flood HTTP/1.1'];
const attacks = () => app.requests.filter(({ line }) => !ASIDE.includes(line));

/** Sends it, waits for the end of `stream`, and asks as another client afterwards. */
async function attack(frames: Buffer, { localAddress = '127.0.0.1', stream = 1 } = {}) {
  const to = {
    localAddress,
    host: '127.0.0.1',
    port: path.httpsPort,
    servername: 'app.cupola.test',
    ca: path.pki.routerRoot.cert,
  };
  const [result] = await sendHttp2(to, frames, [stream]);
  const { port } = to;
  const victim = await ask({ host: 'app.cupola.test', port, path: '/victim', ca: to.ca, waitMs: 10_000 });
  assert.equal(victim.body, 'GET /victim HTTP/1.1', 'the next client gets its own answer');
  return { result: result!, seen: attacks() };
}

describe('refused before the app sees anything', () => {
  const refused: Record<string, Buffer> = {
    'transfer-encoding': requestFrames(1, [...POST, ['transfer-encoding', 'chunked']], `0\r\n\r\n${SMUGGLED}`),
    'more data than content-length says': requestFrames(1, [...POST, ['content-length', '2']], `ab${SMUGGLED}`),
    'less data than content-length says': requestFrames(1, [...POST, ['content-length', '200']], 'ab'),
    'two lengths': requestFrames(1, [...POST, ['content-length', '2'], ['content-length', '4']], 'abcd'),
    'a length with a sign': requestFrames(1, [...POST, ['content-length', '+2']], 'ab'),
    'CRLF in a value': requestFrames(1, [...pseudo(), ['x', 'a\r\nSmuggled: b']]),
    'a request in a value': requestFrames(1, [...pseudo(), ['x', `a\r\n\r\n${SMUGGLED}`]]),
    'LF in a value': requestFrames(1, [...pseudo(), ['x', 'a\nb: c']]),
    'CR in a value': requestFrames(1, [...pseudo(), ['x', 'a\rb']]),
    'NUL in a value': requestFrames(1, [...pseudo(), ['x', 'a\0b']]),
    'CRLF in a name': requestFrames(1, [...pseudo(), ['x: a\r\ny', 'b']]),
    'a colon in a name': requestFrames(1, [...pseudo(), ['x: a', 'b']]),
    'a blank in a name': requestFrames(1, [...pseudo(), ['x y', 'b']]),
    'an upper-case name': requestFrames(1, [...pseudo(), ['X-Upper', 'b']]),
    'an empty name': requestFrames(1, [...pseudo(), ['', 'b']]),
    'a request in :path': requestFrames(1, pseudo({ ':path': '/a HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled' })),
    'a blank in :path': requestFrames(1, pseudo({ ':path': '/a b' })),
    'an empty :path': requestFrames(1, pseudo({ ':path': '' })),
    'a :path without a slash': requestFrames(1, pseudo({ ':path': 'a' })),
    'a whole address in :path': requestFrames(1, pseudo({ ':path': 'http://other.cupola.test/x' })),
    'a user in :path': requestFrames(1, pseudo({ ':path': '@evil/' })),
    'NUL in :path': requestFrames(1, pseudo({ ':path': '/a\0b' })),
    'CRLF in :method': requestFrames(1, pseudo({ ':method': 'GET / HTTP/1.1\r\nX: y' })),
    'a target in :method': requestFrames(1, pseudo({ ':method': 'GET /smuggled' })),
    'an address in :scheme': requestFrames(1, pseudo({ ':scheme': 'https://evil/?' })),
    'CRLF in :scheme': requestFrames(1, pseudo({ ':scheme': 'https\r\nX: y' })),
    'CRLF in :authority': requestFrames(1, pseudo({ ':authority': 'app.cupola.test\r\nX: y' })),
    'a user in :authority': requestFrames(1, pseudo({ ':authority': 'x@app.cupola.test' })),
    'a path in :authority': requestFrames(1, pseudo({ ':authority': 'app.cupola.test/x' })),
    'an empty :authority beside host': requestFrames(1, [...pseudo({ ':authority': '' }), ['host', 'app.cupola.test']]),
    'no :path': requestFrames(1, pseudo().slice(0, 3)),
    'two :path': requestFrames(1, [...pseudo(), [':path', '/b']]),
    'two :authority': requestFrames(1, [...pseudo(), [':authority', 'other.cupola.test']]),
    'a pseudo header after another': requestFrames(1, [...pseudo().slice(0, 3), ['x', 'y'], [':path', '/attack']]),
    'an unknown pseudo header': requestFrames(1, [...pseudo(), [':evil', 'x']]),
    'a pseudo header of answers': requestFrames(1, [...pseudo(), [':status', '200']]),
    connection: requestFrames(1, [...pseudo(), ['connection', 'x-forwarded-for']]),
    upgrade: requestFrames(1, [...pseudo(), ['upgrade', 'websocket']]),
    'te with more than trailers': requestFrames(1, [...pseudo(), ['te', 'gzip']]),
    CONNECT: requestFrames(1, [
      [':method', 'CONNECT'],
      [':authority', 'app.cupola.test:22'],
    ]),
  };
  for (const [name, frames] of Object.entries(refused)) {
    test(`SECURITY-TESTS 1: HTTP/2, ${name}`, async () => {
      const { result, seen } = await attack(frames);
      assert.deepEqual(seen, []);
      assert.deepEqual(app.garbage, []);
      assert.partialDeepStrictEqual(result, REFUSED_OTHERWISE[name] ?? { status: null, reset: PROTOCOL_ERROR });
    });
  }

  test('SECURITY-TESTS 5: header floods over HTTP/2 are refused, by answer or by the end of the connection', async () => {
    const many = Array.from({ length: 300 }, (_, index): Field => [`x${index}`, '1']);
    assert.equal((await attack(requestFrames(1, [...pseudo(), ...many]))).result.status, 431);
    assert.equal((await attack(requestFrames(1, [...pseudo(), ['x', 'a'.repeat(52_000)]]))).result.status, 431);
    const beyond = await attack(requestFrames(1, [...pseudo(), ['x', 'a'.repeat(300_000)]]));
    const { goaway, reset, closed, status } = beyond.result;
    assert.ok(status === null && (closed || goaway !== null || reset !== null), JSON.stringify(beyond.result));
    assert.deepEqual(attacks(), []);
  });

  test('SECURITY-TESTS 5: a CONTINUATION flood ends the connection', async () => {
    const block = literalFields([...pseudo(), ['x', 'y']]);
    const pieces = [frame(FRAME.headers, 1, 1, block)];
    for (let count = 0; count < 5_000; count += 1)
      pieces.push(frame(FRAME.continuation, 0, 1, literalFields([['x', 'y']])));
    const { result, seen } = await attack(Buffer.concat(pieces));
    assert.deepEqual(seen, []);
    assert.ok(result.goaway !== null || result.closed, JSON.stringify(result));
  });

  test('SECURITY-TESTS 5: a rapid-reset flood costs no other client', async () => {
    const pieces: Buffer[] = [];
    const last = 4_001;
    const flood = pseudo({ ':path': '/flood' });
    for (let stream = 1; stream < last; stream += 2) {
      const cancel = Buffer.alloc(4);
      cancel.writeUInt32BE(8);
      pieces.push(requestFrames(stream, flood), frame(FRAME.reset, 0, stream, cancel));
    }
    pieces.push(requestFrames(last, flood));
    await attack(Buffer.concat(pieces), { localAddress: '127.0.7.1', stream: last });
  });

  test('SECURITY-TESTS 1: trailers that claim a length or a path end the request', async () => {
    for (const trailer of [['content-length', '9'] as const, [':path', '/x'] as const]) {
      const frames = Buffer.concat([
        frame(FRAME.headers, 4, 1, literalFields(POST)),
        frame(FRAME.data, 0, 1, Buffer.from('abc')),
        frame(FRAME.headers, 5, 1, literalFields([trailer])),
      ]);
      const { result, seen } = await attack(frames);
      assert.equal(result.reset, PROTOCOL_ERROR);
      assert.deepEqual(seen, [], 'the app never gets it whole');
    }
  });
});

describe('brought to one reading', () => {
  test('SECURITY-TESTS 1: a body without a length is chunked to the app', async () => {
    const { seen } = await attack(requestFrames(1, pseudo(), SMUGGLED));
    assert.equal(seen.length, 1);
    assert.equal(seen[0]!.body, SMUGGLED);
    assert.deepEqual(valuesOf(seen[0], 'transfer-encoding'), ['chunked']);
    assert.deepEqual(valuesOf(seen[0], 'content-length'), []);
  });

  test('SECURITY-TESTS 1: the same length twice becomes one', async () => {
    const frames = requestFrames(1, [...POST, ['content-length', '2'], ['content-length', '2']], 'ab');
    const { seen } = await attack(frames);
    assert.deepEqual(valuesOf(seen[0], 'content-length'), ['2']);
    assert.equal(seen[0]!.body, 'ab');
  });

  test('one request has one host: :authority wins over host, and decides the route', async () => {
    for (const host of ['api.cupola.test', 'other.cupola.test']) {
      const { seen } = await attack(requestFrames(1, [...pseudo(), ['host', host], ['host', 'third.cupola.test']]));
      assert.deepEqual(valuesOf(seen[0], 'host'), ['app.cupola.test']);
      app.requests.length = 0;
    }
    const other = await attack(
      requestFrames(1, [...pseudo({ ':authority': 'other.cupola.test' }), ['host', 'app.cupola.test']]),
    );
    assert.equal(other.result.status, 404);
    assert.deepEqual(other.seen, []);
  });

  test('UTF-8 in a path and a query reaches the app as it was sent, and no other bytes do', async () => {
    const target = Buffer.from('/café?x=€').toString('latin1');
    const { result } = await attack(requestFrames(1, pseudo({ ':path': target })));
    assert.equal(result.status, 200);
    assert.equal(app.requests[0]!.line, `GET ${target} HTTP/1.1`);
    app.requests.length = 0;
    assert.equal((await attack(requestFrames(1, pseudo({ ':path': '/caf\xe9' })))).result.status, 400);
  });

  test('cookies that came in pieces are one header', async () => {
    const { seen } = await attack(requestFrames(1, [...pseudo(), ['cookie', 'a=1'], ['cookie', 'b=2']]));
    assert.deepEqual(valuesOf(seen[0], 'cookie'), ['a=1; b=2']);
  });
});
