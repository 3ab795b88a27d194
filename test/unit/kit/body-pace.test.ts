import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { BodyReader } from '../../../src/kit/body.ts';
import { HttpRefusal } from '../../../src/kit/refusal.ts';

const limits = { bodies: 10, bodiesPerCaller: 10, bytes: 1e9, bytesPerCaller: 1e9 };
const bodies = new BodyReader(limits, { streamMs: 40, streamBytes: 10, graceMs: 200, bytesPerSecond: 100_000 });
/** How long its reader lets a body wait before it reads. */
let waitMs = 0;

const server = createServer(async (incoming, response) => {
  const body = bodies.stream(incoming, response, 'caller', 1e9);
  await setTimeout(waitMs);
  let bytes = 0;
  try {
    for await (const chunk of body) bytes += (chunk as Buffer).length;
    response.end(String(bytes));
  } catch (error) {
    response.end(error instanceof HttpRefusal ? error.kind : String(error));
  }
});
before(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
after(() => {
  server.closeAllConnections();
  server.close();
});

/** What is answered to a body of so many pieces of 1,000 bytes, one each `everyMs`. */
function answerTo(pieces: number, everyMs: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const sent = request(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { method: 'POST' });
  sent.on('response', (response) => response.setEncoding('utf8').on('data', resolve));
  sent.on('error', reject);
  async function* body() {
    for (let piece = 0; piece < pieces; piece += 1) {
      yield Buffer.alloc(1000);
      if (everyMs > 0) await setTimeout(everyMs);
    }
  }
  Readable.from(body())
    .on('error', () => {})
    .pipe(sent);
  return promise.finally(() => sent.destroy());
}

test('SECURITY 25: a body that comes in drops ends, though each comes in time', async () => {
  waitMs = 0;
  assert.equal(await answerTo(1000, 20), 'body_too_slow');
  assert.equal(await answerTo(500, 0), '500000');
});

test('a client is not too slow for a reader that reads late', async () => {
  waitMs = 600;
  assert.equal(await answerTo(500, 0), '500000');
});
