import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedWork } from '../../../src/kit/shared-work.ts';

/** Work that ends when it is told to, or with its signal. */
function begun() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let ended: AbortSignal | null = null;
  const work = new SharedWork((signal) => {
    ended = signal;
    signal.addEventListener('abort', () => reject(signal.reason));
    return promise;
  });
  return { work, resolve, reject, signal: () => ended! };
}

test('all who wait get what it gives, those who come later too', async () => {
  const { work, resolve, signal } = begun();
  const waiting = [work.wait(), work.wait(new AbortController().signal)];
  resolve('done');
  assert.deepEqual(await Promise.all(waiting), ['done', 'done']);
  assert.equal(await work.wait(), 'done');
  assert.equal(signal().aborted, true, 'nothing of it listens any more');
});

test('who leaves is told at once, and it goes on for the others; with the last it ends', async () => {
  const { work, signal } = begun();
  const [one, other] = [new AbortController(), new AbortController()];
  const waiting = [work.wait(one.signal), work.wait(other.signal)] as const;
  one.abort(new Error('one leaves'));
  await assert.rejects(waiting[0], /one leaves/);
  assert.deepEqual([work.isGivenUp, signal().aborted], [false, false]);
  other.abort(new Error('the other leaves'));
  await assert.rejects(waiting[1], /the other leaves/);
  assert.deepEqual([work.isGivenUp, signal().aborted], [true, true]);
  await work.settled();
});

test('who had left before is told, and its failure is told to all who wait', async () => {
  const { work, reject } = begun();
  const waiting = work.wait();
  await assert.rejects(work.wait(AbortSignal.abort(new Error('left'))), /left/);
  assert.equal(work.isGivenUp, false);
  reject(new Error('failed'));
  await assert.rejects(waiting, /failed/);
});
