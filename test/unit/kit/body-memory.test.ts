import assert from 'node:assert/strict';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { BodyReader } from '../../../src/kit/body.ts';
import { HttpRefusal } from '../../../src/kit/refusal.ts';
import { collectGarbage } from '../../support/descriptors.ts';

const MIB = 1024 ** 2;
const PIECE = MIB / 16;
const BODIES = 16;

/**
 * Reads the bodies of requests of one caller, one after the other, and answers none: what became of each, and how much memory they all
 * take then.
 */
async function unanswered(bytesPerCaller: number, bytes: number): Promise<{ became: unknown[]; held: number }> {
  const bodies = new BodyReader({ bodies: BODIES, bodiesPerCaller: BODIES, bytes: bytesPerCaller, bytesPerCaller });
  const requests = Array.from({ length: BODIES }, () => new IncomingMessage(new Socket()));
  const before = await memory();
  const became: unknown[] = [];
  for (const request of requests) {
    const text = bodies.text(request, new ServerResponse(request), 'caller', bytes);
    for (let at = 0; at < bytes; at += PIECE) request.push(Buffer.alloc(PIECE, 'a'));
    request.push(null);
    became.push(
      await text.then(
        ({ length }) => length,
        (error) => (error instanceof HttpRefusal ? error.kind : error),
      ),
    );
  }
  const held = (await memory()) - before;
  assert.equal(requests.length, became.length); // they are all there still
  return { became, held };
}

async function memory(): Promise<number> {
  await collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

test('SECURITY 25: what is refused of bodies lies in memory no more, though their requests are not answered', async () => {
  const { became, held } = await unanswered(MIB, MIB + PIECE);
  assert.deepEqual(became, Array(BODIES).fill('too_many_bodies'));
  assert.ok(held < 4 * MIB, `${held} bytes`);
});

test('a body that was read lies in memory as its text alone', async () => {
  const { became, held } = await unanswered(BODIES * MIB, MIB);
  assert.deepEqual(became, Array(BODIES).fill(MIB));
  assert.ok(held < 4 * MIB, `${held} bytes`);
});
