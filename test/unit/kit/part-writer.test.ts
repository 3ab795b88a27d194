import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { PartWriter } from '../../../src/kit/part-writer.ts';

const HALF = 256 * 1024;

/** Each write ends when the test says so. */
function slowly() {
  const writes: { bytes: number; end: (error?: Error) => void }[] = [];
  const writer = new PartWriter(async (parts, bytes) => {
    assert.equal(Buffer.concat(parts).length, bytes);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    writes.push({ bytes, end: (error) => (error ? reject(error) : resolve()) });
    await promise;
  });
  return { writes, writer };
}

test('what comes during a write is written together by the next one', async () => {
  const { writes, writer } = slowly();
  for (const size of [1, 2, 3]) await writer.add(Buffer.alloc(size));
  assert.deepEqual(
    writes.map(({ bytes }) => bytes),
    [1],
  );
  writes[0]!.end();
  await turn();
  assert.deepEqual(
    writes.map(({ bytes }) => bytes),
    [1, 5],
  );
  writes[1]!.end();
  await writer.settled();
});

test('whoever adds waits once half a mebibyte waits, and goes on as soon as that is being written', async () => {
  const { writes, writer } = slowly();
  await writer.add(Buffer.alloc(HALF));
  await writer.add(Buffer.alloc(HALF));
  let added = false;
  const last = writer.add(Buffer.alloc(HALF)).then(() => {
    added = true;
  });
  await turn();
  assert.equal(added, false);
  writes[0]!.end();
  await turn();
  assert.deepEqual(
    writes.map(({ bytes }) => bytes),
    [HALF, 2 * HALF],
  );
  assert.equal(added, true, 'the second write still runs');
  await writer.add(Buffer.alloc(1));
  writes[1]!.end();
  await last;
  await turn();
  writes[2]!.end();
  await writer.settled();
});

test('whoever adds waits, too, once many parts wait, however small they are', async () => {
  const { writes, writer } = slowly();
  let added = 0;
  const adding = (async () => {
    for (; added < 5000; added += 1) await writer.add(Buffer.alloc(1));
  })();
  await turn();
  await turn();
  assert.ok(added < 2000, `${added} were taken`);
  for (let ended = 0; ended < writes.length; ended += 1) {
    writes[ended]!.end();
    await turn();
  }
  await adding;
});

test('a write that fails while somebody waits to add is told at once', async () => {
  const { writes, writer } = slowly();
  await writer.add(Buffer.alloc(1));
  const waiting = writer.add(Buffer.alloc(2 * HALF));
  writes[0]!.end(new Error('full'));
  await assert.rejects(waiting, /full/);
  await assert.rejects(writer.settled(), /full/);
  assert.equal(writes.length, 1);
});

test('a write that fails is told to who adds next and to who waits for the end; nothing is written after it', async () => {
  const { writes, writer } = slowly();
  await writer.add(Buffer.alloc(1));
  await writer.add(Buffer.alloc(1));
  writes[0]!.end(new Error('full'));
  await turn();
  await assert.rejects(writer.add(Buffer.alloc(1)), /full/);
  await assert.rejects(writer.settled(), /full/);
  assert.equal(writes.length, 1);
});
