import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { blockSignal, linkSignals, onAbort, unlessAborted } from '../../../src/kit/abort.ts';

const listening = (source: AbortController) => getEventListeners(source.signal, 'abort').length;

test('a linked signal aborts with the first of its sources, and with its reason', () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const { signal } = linkSignals(one.signal, other.signal);
  assert.equal(signal.aborted, false);
  other.abort('other');
  one.abort('one');
  assert.equal(signal.reason, 'other');
  assert.equal(
    linkSignals(new AbortController().signal, one.signal).signal.reason,
    'one',
    'one that had aborted before',
  );
});

test('a linked signal that is let go of hears its sources no more, and none listens', () => {
  const source = new AbortController();
  const released = linkSignals(source.signal);
  released.release();
  {
    using disposed = linkSignals(source.signal);
    assert.deepEqual([listening(source), disposed.signal.aborted], [1, false]);
  }
  assert.equal(listening(source), 0);
  source.abort();
  assert.equal(released.signal.aborted, false);
});

test('the signal of a block aborts with a source, and when the block is left, by an error too', () => {
  const source = new AbortController();
  const left: AbortSignal[] = [];
  const block = (body: () => void) => {
    using scope = blockSignal(source.signal);
    left.push(scope.signal);
    body();
    assert.equal(scope.signal.aborted, source.signal.aborted);
  };
  block(() => {});
  assert.throws(
    () =>
      block(() => {
        throw new Error('failed');
      }),
    /failed/,
  );
  assert.deepEqual([left.map(({ aborted }) => aborted), listening(source)], [[true, true], 0]);
  block(() => source.abort('source'));
  assert.equal(left[2]!.reason, 'source');
});

test('what is to happen when a signal aborts happens at once where it has', () => {
  const source = new AbortController();
  const happened: string[] = [];
  onAbort(source.signal, () => happened.push('later'));
  source.abort();
  onAbort(source.signal, () => happened.push('at once'));
  assert.deepEqual(happened, ['later', 'at once']);
});

test('who waits is told as soon as the signal aborts; what is done before is given, and none listens', async () => {
  const source = new AbortController();
  const endless = new Promise<never>(() => {});
  assert.equal(await unlessAborted(Promise.resolve('done'), source.signal), 'done');
  await assert.rejects(unlessAborted(Promise.reject(new Error('failed')), source.signal), /failed/);
  assert.equal(listening(source), 0);
  const waiting = unlessAborted(endless, source.signal);
  source.abort(new Error('left'));
  await assert.rejects(waiting, /left/);
  await assert.rejects(unlessAborted(endless, source.signal), /left/);
  assert.equal(await unlessAborted(Promise.resolve('without')), 'without');
});
