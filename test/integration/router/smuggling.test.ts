import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { ask, sendRaw } from '../../support/http-client.ts';
import { type RawBackend, startRawBackend, valuesOf } from '../../support/raw-backend.ts';
import { type RequestPath, startRequestPath } from '../../support/request-path.ts';

/*
 * SECURITY-TESTS 1, on the real chain: router → mutual TLS → cell proxy → an app that writes down every byte. After each
 * attack another client asks on a connection of its own, over the router's kept connection to the same app, and must get
 * its own answer.
 */
let path: RequestPath;
let app: RawBackend;

before(async () => {
  path = await startRequestPath({ firstPort: 21270, prefix: 'router-smuggling' });
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

const HOST = 'Host: app.cupola.test';
const SMUGGLED = `GET /smuggled HTTP/1.1\r\n${HOST}\r\n\r\n`;
const SIZE = SMUGGLED.length.toString(16);

/** A request with these header lines, and a body that ends after 4 bytes to one reading and goes on to the other. */
const twoReadings = (...lines: string[]) =>
  ['POST /attack HTTP/1.1', HOST, ...lines, '', `${SIZE}`, SMUGGLED, '0', '', ''].join('\r\n');
const post = (lines: string[], body: string) => ['POST /attack HTTP/1.1', HOST, ...lines, '', body].join('\r\n');
const get = (...lines: string[]) => ['GET /attack HTTP/1.1', HOST, ...lines, '', ''].join('\r\n');

/** `answers`: how many it is expected to get. */
async function attack(text: string, answers = 1): Promise<{ statuses: number[]; targets: string[] }> {
  const to = { host: '127.0.0.1', port: path.httpsPort, servername: 'app.cupola.test', ca: path.pki.routerRoot.cert };
  const answer = await sendRaw(to, text, answers);
  const victim = await ask({ host: 'app.cupola.test', port: path.httpsPort, path: '/victim', ca: to.ca });
  assert.equal(victim.body, 'GET /victim HTTP/1.1', 'the next client gets its own answer');
  assert.deepEqual(app.garbage, [], 'the app got whole requests and nothing else');
  const statuses = [...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
  const seen = app.requests.filter(({ line }) => !line.includes('/victim'));
  assert.equal(seen.length, statuses.filter((status) => status === 200).length, 'as many answers as requests');
  const ids = new Set(app.requests.flatMap((request) => valuesOf(request, 'x-vcap-request-id')));
  assert.equal(ids.size, app.requests.length, 'each request is one the router saw');
  for (const request of seen) {
    const lengths = valuesOf(request, 'content-length').length;
    const encodings = valuesOf(request, 'transfer-encoding').length;
    assert.ok(lengths + encodings <= 1, `one framing: ${request.head}`);
    assert.doesNotMatch(request.head, /\n\s|[^\r]\n|\r[^\n]|\0|\n[\w-]+\s+:/, 'lines end in CRLF alone, no folding');
  }
  return { statuses, targets: seen.map(({ line }) => line.split(' ')[1]!) };
}

describe('refused before the app sees anything', () => {
  const attacks: Record<string, string> = {
    'TE.TE: an unknown encoding': twoReadings('Transfer-Encoding: xchunked', 'Content-Length: 4'),
    'TE.TE: a blank before the colon': twoReadings('Transfer-Encoding : chunked', 'Content-Length: 4'),
    'TE.TE: a vertical tab': twoReadings('Transfer-Encoding:\x0bchunked', 'Content-Length: 4'),
    'TE.TE: chunked, then identity': twoReadings(
      'Transfer-Encoding: chunked',
      'Transfer-Encoding: identity',
      'Content-Length: 4',
    ),
    'TE.TE: chunked is not last in the list': twoReadings('Transfer-Encoding: chunked, identity', 'Content-Length: 4'),
    'TE.TE: chunked twice': twoReadings('Transfer-Encoding: chunked, chunked', 'Content-Length: 4'),
    'TE.TE: in quotes': twoReadings('Transfer-Encoding: "chunked"', 'Content-Length: 4'),
    'TE.TE: with a parameter': twoReadings('Transfer-Encoding: chunked;x=1', 'Content-Length: 4'),
    'TE.TE: with a NUL': twoReadings('Transfer-Encoding: chunked\0', 'Content-Length: 4'),
    'TE.TE: after a bare CR': twoReadings('X: a\rTransfer-Encoding: chunked', 'Content-Length: 4'),
    'TE in HTTP/1.0': twoReadings('Transfer-Encoding: chunked').replace('HTTP/1.1', 'HTTP/1.0'),
    'two lengths that differ': post(['Content-Length: 0', `Content-Length: ${SMUGGLED.length}`], SMUGGLED),
    'a list of lengths that differ': post([`Content-Length: 0, ${SMUGGLED.length}`], SMUGGLED),
    'a length with a sign': post(['Content-Length: +4'], 'body'),
    'a negative length': post(['Content-Length: -4'], 'body'),
    'a hexadecimal length': post(['Content-Length: 0x4'], 'body'),
    'an empty length': post(['Content-Length: '], ''),
    'a length beyond 64 bits': post(['Content-Length: 18446744073709551620'], 'body'),
    'two numbers in a length': post(['Content-Length: 4 4'], 'body'),
    'a blank after Content-Length': post(['Content-Length : 4'], 'body'),
    'a NUL in a value': get('X: a\0b'),
    'a NUL in a name': get('X\0Y: b'),
    'a bare CR in a value': get('X: a\rb'),
    'a bare CR in the request line': `GET /attack\rX HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'a first header that is folded': `GET /attack HTTP/1.1\r\n X: y\r\n${HOST}\r\n\r\n`,
    'a header without a name': get(': y'),
    'a header without a colon': get('nocolon'),
    'a chunk size with a sign': post(['Transfer-Encoding: chunked'], '+4\r\nbody\r\n0\r\n\r\n'),
    'a chunk size with 0x': post(['Transfer-Encoding: chunked'], '0x4\r\nbody\r\n0\r\n\r\n'),
    'a chunk size beyond 64 bits': post(['Transfer-Encoding: chunked'], '10000000000000004\r\nbody\r\n0\r\n\r\n'),
    'a bare LF in a chunk extension': post(['Transfer-Encoding: chunked'], '4;a\nb\r\nbody\r\n0\r\n\r\n'),
    'a chunk that is longer than it says': post(['Transfer-Encoding: chunked'], `4\r\nbodyXX0\r\n\r\n${SMUGGLED}`),
    'HTTP/0.9': 'GET /attack\r\n\r\n',
    'a blank in the target': `GET /attack b HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'a target that is no path': `GET @internal/ HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'a target in ISO 8859-1': `GET /caf\xe9 HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'a slash in two bytes of UTF-8': `GET /attack\xc0\xaf HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'half a surrogate in UTF-8': `GET /attack?\xed\xa0\x80 HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'UTF-8 that is cut off': `GET /attack\xe2\x82 HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'UTF-8 in a target': `GET /caf\xc3\xa9 HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'UTF-8 in a query, and Transfer-Encoding with a blank': twoReadings(
      'Transfer-Encoding : chunked',
      'Content-Length: 4',
    ).replace('/attack', '/attack?\xc3\xa9'),
    'a websocket without a key': get('Connection: Upgrade', 'Upgrade: websocket'),
    'DEL in a target': `GET /attack\x7f\xc3\xa9 HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'a fragment': `GET /attack#x HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'an absolute form of another host': `GET http://other.cupola.test/attack HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'an absolute form of another port': `GET http://app.cupola.test:81/attack HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'another host behind a user': `GET http://app.cupola.test@other.cupola.test/ HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'another protocol': get().replace('HTTP/1.1', 'RTSP/1.0'),
    'a version of three digits': get().replace('HTTP/1.1', 'HTTP/1.10'),
    'a version without a point': get().replace('HTTP/1.1', 'HTTP/11'),
    'UTF-8 in a name': get('X\xc3\xa9: b'),
    'a comma in a name': get('X,Y: b'),
    'a bracket in a name': get('X(Y: b'),
    'an at sign in a name': get('@X: b'),
    'a method that is no token': `G@T /attack HTTP/1.1\r\n${HOST}\r\n\r\n`,
    'a PROXY line from a client': `PROXY TCP4 6.6.6.6 1.1.1.1 1 2\r\n${get()}`,
  };
  for (const [name, text] of Object.entries(attacks)) {
    test(`SECURITY-TESTS 1: ${name}`, async () => {
      const { statuses, targets } = await attack(text);
      assert.deepEqual(targets, []);
      assert.deepEqual(statuses, [400]);
    });
  }

  test('SECURITY-TESTS 1: an encoding besides chunked', async () => {
    for (const encoding of ['gzip, chunked', 'identity\r\nTransfer-Encoding: chunked']) {
      const { statuses, targets } = await attack(twoReadings(`Transfer-Encoding: ${encoding}`, 'Content-Length: 4'));
      assert.deepEqual([statuses, targets], [[422], []]);
    }
  });
});

describe('brought to one reading', () => {
  test('SECURITY-TESTS 1: CL.TE: the length goes, and what follows the chunks is never read', async () => {
    const text = post([`Content-Length: ${5 + SMUGGLED.length}`, 'Transfer-Encoding: chunked'], `0\r\n\r\n${SMUGGLED}`);
    const { targets } = await attack(text);
    // HAProxy closes after a message with both (RFC 9112, section 6.1).
    assert.deepEqual(targets, ['/attack']);
    assert.deepEqual(valuesOf(app.requests[0], 'content-length'), []);
  });

  const chunkedWins: Record<string, string[]> = {
    'TE.CL': ['Transfer-Encoding: chunked', 'Content-Length: 4'],
    'a tab before chunked': ['Transfer-Encoding:\tchunked', 'Content-Length: 4'],
    'mixed case': ['tRaNsFer-EncOdInG: chUnKed', 'Content-Length: 4'],
    'chunked on a folded line': ['Transfer-Encoding:\r\n chunked', 'Content-Length: 4'],
    'chunked after a bare LF': ['X: a\nTransfer-Encoding: chunked', 'Content-Length: 4'],
  };
  for (const [name, lines] of Object.entries(chunkedWins)) {
    test(`SECURITY-TESTS 1: ${name}: the smuggled request stays body`, async () => {
      const { targets } = await attack(twoReadings(...lines));
      assert.deepEqual(targets, ['/attack']);
      assert.equal(app.requests[0]!.body, SMUGGLED);
      assert.deepEqual(valuesOf(app.requests[0], 'content-length'), []);
    });
  }

  const lengthWins: Record<string, string[]> = {
    'Transfer_Encoding does not reach an app that reads "_" as "-"': [
      'Transfer_Encoding: chunked',
      'Content-Length: 4',
    ],
    'Content_Length neither': ['Content_Length: 99', 'Content-Length: 4'],
    'Transfer-Encoding folded into another header stays in it': [
      'X: y\r\n Transfer-Encoding: chunked',
      'Content-Length: 4',
    ],
  };
  for (const [name, lines] of Object.entries(lengthWins)) {
    test(`SECURITY-TESTS 1: ${name}`, async () => {
      // What follows the four bytes is a second request to router and app alike, with an answer of its own.
      const { targets } = await attack(twoReadings(...lines), 2);
      assert.deepEqual(targets, ['/attack', '/smuggled']);
      assert.equal(app.requests[0]!.body, `${SIZE}\r\n`);
      assert.doesNotMatch(app.requests[0]!.head, /(transfer|content)_/i);
    });
  }

  test('SECURITY-TESTS 1: the same length twice becomes one', async () => {
    for (const lines of [['Content-Length: 4', 'Content-Length: 4'], ['Content-Length: 4, 4']]) {
      await attack(post(lines, 'body'));
      assert.deepEqual(valuesOf(app.requests[0], 'content-length'), ['4']);
      assert.equal(app.requests[0]!.body, 'body');
      app.requests.length = 0;
    }
  });

  test('SECURITY-TESTS 1: a GET with a body has it as body', async () => {
    const { targets } = await attack(
      get(`Content-Length: ${SMUGGLED.length}`).replace(/\r\n\r\n$/, `\r\n\r\n${SMUGGLED}`),
    );
    assert.deepEqual(targets, ['/attack']);
    assert.equal(app.requests[0]!.body, SMUGGLED);
  });

  test('SECURITY-TESTS 1: folded lines become one line, bare LF becomes CRLF', async () => {
    await attack(get('X-Folded: a\r\n b'));
    assert.match(valuesOf(app.requests[0], 'x-folded')[0]!, /^a +b$/);
    app.requests.length = 0;
    await attack(`GET /attack HTTP/1.1\n${HOST}\nX: y\n\n`);
    assert.deepEqual(valuesOf(app.requests[0], 'x'), ['y']);
  });

  test('SECURITY-TESTS 1: chunk extensions go, trailers stay trailers', async () => {
    const chunks = '4;a=b\r\nbody\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n';
    await attack(post(['Transfer-Encoding: chunked'], chunks));
    assert.equal(app.requests[0]!.framed, '4\r\nbody\r\n0\r\nx-forwarded-for: 6.6.6.6\r\n\r\n');
    assert.deepEqual(valuesOf(app.requests[0], 'x-forwarded-for'), ['127.0.0.1']);
  });

  test('another version of the protocol is spoken to the app as HTTP/1.1', async () => {
    for (const version of ['HTTP/1.2', 'HTTP/2.0']) {
      await attack(get().replace('HTTP/1.1', version));
      assert.equal(app.requests[0]!.line, 'GET /attack HTTP/1.1');
      app.requests.length = 0;
    }
  });

  test('the absolute form becomes a path, whatever user it names', async () => {
    for (const authority of ['app.cupola.test', 'someone@app.cupola.test']) {
      await attack(`GET http://${authority}/path?query HTTP/1.1\r\n${HOST}\r\n\r\n`);
      assert.equal(app.requests[0]!.line, 'GET /path?query HTTP/1.1');
      app.requests.length = 0;
    }
  });

  test('an app that answers too much poisons nobody but itself', async () => {
    app.answerNext('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison');
    const port = path.httpsPort;
    const ca = path.pki.routerRoot.cert;
    const first = await ask({ host: 'app.cupola.test', port, path: '/attack', ca });
    assert.equal(first.body, 'ok');
    for (let count = 0; count < 5; count += 1) {
      const next = await ask({ host: 'app.cupola.test', port, path: `/next-${count}`, ca });
      assert.equal(next.body, `GET /next-${count} HTTP/1.1`);
    }
  });
});
