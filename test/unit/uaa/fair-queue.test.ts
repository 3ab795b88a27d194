import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UaaError } from '../../../src/uaa/errors.ts';
import { FairQueue } from '../../../src/uaa/users/fair-queue.ts';

/** Work that ends when it is told to. */
function manual() {
  const started: string[] = [];
  const ends: (() => void)[] = [];
  return {
    started,
    of: (name: string) => () => {
      started.push(name);
      const { promise, resolve } = Promise.withResolvers<void>();
      ends.push(resolve);
      return promise;
    },
    endOne: async () => {
      ends.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

/** How a turn stands by now. */
const now = (turn: Promise<void>): Promise<string> =>
  Promise.race([
    turn.then(
      () => 'over',
      (error: unknown) => (error instanceof UaaError ? error.kind : String(error)),
    ),
    new Promise<string>((resolve) => setImmediate(resolve, 'waits or works')),
  ]);

test('SECURITY 19: who sends much waits for themselves: others get their turn in between', async () => {
  const turns = new FairQueue({ running: 1, waiting: 100, waitingPerCaller: 50 });
  const work = manual();
  const all = ['a1', 'a2', 'a3', 'a4', 'b1', 'c1', 'b2'].map((name) => turns.take(name[0]!, work.of(name)));
  for (const _ of all) await work.endOne();
  await Promise.all(all);
  assert.deepEqual(work.started, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
});

test('SECURITY 19: what waits is bounded for each caller and for all, and a place that is free is taken again', async () => {
  const turns = new FairQueue({ running: 1, waiting: 3, waitingPerCaller: 1 });
  const work = manual();
  const take = (caller: string) => turns.take(caller, work.of(caller));
  const all = [take('a'), take('a')];
  assert.equal(await now(take('a')), 'too_many_requests');
  all.push(take('b'), take('c'));
  assert.equal(await now(take('d')), 'too_many_requests', 'of all');
  await work.endOne();
  all.push(take('d'));
  for (const _ of all) await work.endOne();
  await Promise.all(all);
  const failing = turns.take('a', () => Promise.reject(new Error('broken')));
  await assert.rejects(failing, /broken/);
  const again = take('a');
  await work.endOne();
  await again;
  assert.equal(work.started.length, 6);
});

test('SECURITY 19: a few callers who fill all places lose them to others, and nobody to who has as many waiting', async () => {
  const turns = new FairQueue({ running: 1, waiting: 6, waitingPerCaller: 3 });
  const work = manual();
  const take = (caller: string, name: string) => {
    const turn = turns.take(caller, work.of(name));
    turn.catch(() => {});
    return turn;
  };
  const first = take('a', 'a1');
  const [, , a4] = ['a2', 'a3', 'a4'].map((name) => take('a', name));
  const [, , b3] = ['b1', 'b2', 'b3'].map((name) => take('b', name));
  const others = [take('c', 'c1'), take('d', 'd1')];
  assert.deepEqual(
    [await now(a4!), await now(b3!)],
    ['too_many_requests', 'too_many_requests'],
    'the newest of the most',
  );
  assert.equal(await now(take('c', 'c2')), 'too_many_requests', 'who would then have as many as the others');
  for (let left = 0; left < 7; left += 1) await work.endOne();
  await Promise.all([first, ...others]);
  assert.deepEqual(work.started, ['a1', 'a2', 'b1', 'c1', 'd1', 'a3', 'b2']);
});

test('SECURITY 19: who goes away gives up their place, and no work is done for them', async () => {
  const turns = new FairQueue({ running: 1, waiting: 3, waitingPerCaller: 2 });
  const work = manual();
  const first = turns.take('a', work.of('a1'));
  const gone = new AbortController();
  const left = turns.take('a', work.of('a2'), { gone: gone.signal });
  const stays = turns.take('a', work.of('a3'), { gone: new AbortController().signal });
  assert.equal(await now(turns.take('a', work.of('a4'))), 'too_many_requests');
  assert.equal(turns.waiting, 2);
  gone.abort();
  assert.equal(await now(left), 'temporarily_unavailable');
  assert.equal(turns.waiting, 1);
  const again = turns.take('a', work.of('a5'));
  assert.equal(await now(turns.take('a', work.of('late'), { gone: gone.signal })), 'temporarily_unavailable');
  for (let left = 0; left < 3; left += 1) await work.endOne();
  await Promise.all([first, stays, again]);
  assert.deepEqual(work.started, ['a1', 'a3', 'a5']);
  assert.equal(turns.waiting, 0);
});
