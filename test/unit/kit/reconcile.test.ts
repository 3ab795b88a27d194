import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Logger } from '../../../src/kit/log.ts';
import { named, type Outcome, type Pace, Reconciler, type Subjects } from '../../../src/kit/reconcile.ts';

const silent = new Logger('test', {}, () => {});

/** A started reconciler whose first run, of everything, is over; what each later run was to look at; and how the next ones end. */
async function started(pace: Pace | number) {
  mock.timers.enable({ apis: ['setTimeout'] });
  const runs: (string[] | 'all' | { all: string[] })[] = [];
  const ends: (() => Promise<Outcome>)[] = [];
  const body = async (subjects: Subjects) => {
    const names = [...subjects.names].sort();
    runs.push(!subjects.all ? names : names.length === 0 ? 'all' : { all: names });
    return ends.shift()?.() ?? 'done';
  };
  const reconciler = new Reconciler('test', pace, body, silent);
  reconciler.start();
  await settled();
  assert.deepEqual(runs.splice(0), ['all']);
  return {
    reconciler,
    runs,
    ends,
    async pass(ms: number) {
      mock.timers.tick(ms);
      await settled();
    },
    async close() {
      await reconciler.stop();
      mock.timers.reset();
    },
  };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const fails = () => Promise.reject(new Error('broken'));
const says = (outcome: Outcome) => () => Promise.resolve(outcome);

test('a run gets the subjects it was woken for; those named during a run are looked at in one more', async () => {
  const t = await started(1_000);
  const { promise, resolve } = Promise.withResolvers<void>();
  t.ends.push(() => promise.then(() => 'done'));
  t.reconciler.wake(['a']);
  t.reconciler.wake(['b']);
  t.reconciler.wake(['c', 'b']);
  await settled();
  assert.deepEqual(t.runs, [['a']]);
  resolve();
  await settled();
  assert.deepEqual(t.runs, [['a'], ['b', 'c']]);
  await t.close();
});

test('who wakes without a subject has everything looked at, and what is named is not forgotten', async () => {
  const t = await started(1_000);
  t.ends.push(() => settled().then(() => 'done'));
  t.reconciler.wake(['a']);
  t.reconciler.wake(['b']);
  t.reconciler.wake();
  t.reconciler.wake(['c']);
  await settled();
  await settled();
  assert.deepEqual(t.runs, [['a'], { all: ['b', 'c'] }]);
  await t.close();
});

test('the timer has everything looked at, however often subjects are named meanwhile', async () => {
  const t = await started(1_000);
  for (let step = 0; step < 4; step += 1) {
    await t.pass(300);
    t.reconciler.wake(['a']);
    await settled();
  }
  assert.deepEqual(t.runs, [['a'], ['a'], ['a'], 'all', ['a']]);
  await t.close();
});

test('the subjects of a run that failed are looked at again soon, or with what comes before', async () => {
  const t = await started({ everyMs: 60_000, soonMs: 100 });
  t.ends.push(fails);
  t.reconciler.wake(['a']);
  await settled();
  await t.pass(99);
  assert.deepEqual(t.runs, [['a']]);
  await t.pass(1);
  assert.deepEqual(t.runs.splice(0), [['a'], ['a']]);
  t.ends.push(fails);
  t.reconciler.wake(['a']);
  await settled();
  t.reconciler.wake(['b']);
  await settled();
  assert.deepEqual(t.runs.splice(0), [['a'], ['a', 'b']]);
  await t.pass(1_000);
  assert.deepEqual(t.runs, [], 'there is nothing left');
  await t.close();
});

test('a failed run of everything is one of everything again, at the pace of the timer where no other is told', async () => {
  const t = await started(1_000);
  t.ends.push(fails);
  t.reconciler.wake();
  await settled();
  await t.pass(999);
  assert.deepEqual(t.runs, ['all']);
  await t.pass(1);
  assert.deepEqual(t.runs, ['all', 'all']);
  await t.close();
});

test('a body that answers "soon" is run again with its own subjects, or with those it names', async () => {
  const t = await started({ everyMs: 60_000, soonMs: 100 });
  t.ends.push(says('soon'), says({ soon: named(['b']) }), says({ soon: named([]) }));
  t.reconciler.wake(['a']);
  await settled();
  for (let step = 0; step < 5; step += 1) await t.pass(100);
  assert.deepEqual(t.runs, [['a'], ['a'], ['b'], []]);
  await t.close();
});

test('while runs fail each attempt waits twice as long, eight times at most; one that does not fail ends it', async () => {
  const t = await started({ everyMs: 60_000, soonMs: 100 });
  t.ends.push(fails, says({ failed: named(['a']) }), fails, fails, fails, says('soon'));
  t.reconciler.wake(['a']);
  await settled();
  const waited: number[] = [];
  for (let attempt = 1; attempt <= 6; attempt += 1) {
    let ms = 0;
    for (; t.runs.length === attempt && ms < 2_000; ms += 50) await t.pass(50);
    waited.push(ms);
  }
  assert.deepEqual(waited, [100, 200, 400, 800, 800, 100]);
  assert.deepEqual(t.runs, Array(7).fill(['a']));
  await t.close();
});

test('neither the timer nor a wake waits for an attempt that is due later', async () => {
  const t = await started({ everyMs: 400, soonMs: 100 });
  t.ends.push(fails, fails, fails);
  t.reconciler.wake(['a']);
  await settled();
  await t.pass(100);
  await t.pass(200);
  assert.deepEqual(t.runs.splice(0), [['a'], ['a'], ['a']]);
  t.ends.push(fails);
  t.reconciler.wake(['b']);
  await settled();
  assert.deepEqual(t.runs.splice(0), [['a', 'b']]);
  await t.pass(100);
  assert.deepEqual(t.runs, [{ all: ['a', 'b'] }]);
  await t.close();
});

test('after its end nothing runs', async () => {
  const t = await started({ everyMs: 1_000, soonMs: 100 });
  t.ends.push(says('soon'));
  t.reconciler.wake(['a']);
  await settled();
  await t.reconciler.stop();
  t.reconciler.wake(['b']);
  await t.pass(5_000);
  assert.deepEqual(t.runs, [['a']]);
  await t.close();
});
