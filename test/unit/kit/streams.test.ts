import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { CupolaError } from '../../../src/kit/errors.ts';
import { boundedText, readFileLater, readLater } from '../../../src/kit/streams.ts';
import { inTurns } from '../../../src/kit/turns.ts';

test('a stream that fails before its reader is there tells whoever comes, and nobody else', async () => {
  for (const fail of [
    (stream: PassThrough) => void stream.destroy(new Error('early')),
    (stream: PassThrough) => void stream.emit('error', new Error('early')),
  ]) {
    for (const read of [buffer, (stream: PassThrough) => pipeline(stream, new PassThrough().resume())]) {
      const stream = readLater(new PassThrough());
      fail(stream);
      await setImmediate();
      await assert.rejects(read(stream), /early/);
    }
  }
});

test('a file that cannot be opened tells its reader, however late', async () => {
  const stream = readFileLater('/nowhere/at/all');
  while (!stream.errored) await setImmediate();
  await assert.rejects(buffer(stream), /ENOENT/);
});

test('a long loop lets others have their turn, and loses nothing', async () => {
  let turns = 0;
  let over = false;
  const others = (async () => {
    for (; !over; turns += 1) await setImmediate();
  })();
  const seen: number[] = [];
  for await (const item of inTurns(Array.from({ length: 1000 }, (_, index) => index))) {
    const until = performance.now() + 0.2;
    while (performance.now() < until);
    seen.push(item);
  }
  const during = turns;
  over = true;
  await others;
  assert.deepEqual([seen.length, seen[0], seen.at(-1)], [1000, 0, 999]);
  assert.ok(during >= 5, `${during} turns`);
});

test('SECURITY 25: what a stranger’s stream says is read up to a bound, in bytes and in time', async () => {
  const bounds = { mostBytes: 1000, timeoutMs: 100 };
  const code = (wanted: string) => (error: unknown) => error instanceof CupolaError && error.code === wanted;
  assert.equal(await boundedText(Readable.from([Buffer.from('10.0.0'), Buffer.from('.1 x')]), bounds), '10.0.0.1 x');
  let made = 0;
  const endless = new Readable({
    read() {
      made += 100;
      this.push(Buffer.alloc(100));
    },
  });
  await assert.rejects(boundedText(endless, bounds), code('stream_too_long'));
  assert.ok(endless.destroyed);
  assert.ok(made < 1_000_000, `${made} bytes`);
  const silent = new PassThrough();
  silent.write('1');
  await assert.rejects(boundedText(silent, bounds), code('stream_too_slow'));
  assert.ok(silent.destroyed);
});
