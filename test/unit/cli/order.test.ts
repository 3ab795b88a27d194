import assert from 'node:assert/strict';
import { existsSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { failuresIn, filesApart, type LaneResult, mostCostly } from '../../../src/cli/lanes/files.ts';
import { ALONE, inLanes, inLanesThenAlone, inOrder, SECONDS, secondsOf, TIMED } from '../../../src/cli/lanes/order.ts';
import { argumentsFor, type Lane, lanesOf } from '../../../src/cli/lanes/shared.ts';
import { ROOT } from '../../support/project-files.ts';

const SHARED = globSync('test/e2e/shared/*.test.ts', { cwd: ROOT });
const lane = (name: string, files = [name]): Lane => ({ name, files });

test('each file that is known to take long, or to run alone, is there', () => {
  const named = [...Object.keys(SECONDS), ...ALONE, ...TIMED];
  assert.deepEqual(
    named.filter((file) => !existsSync(join(ROOT, file))),
    [],
  );
});

test('what takes longest begins first, after what is timed; a new end-to-end file before what is short', () => {
  const [timed, slow, quick] = [[...TIMED][0]!, 'test/e2e/push.test.ts', 'test/integration/cli/lanes.test.ts'];
  const fresh = 'test/e2e/not-yet-known.test.ts';
  const both = lane('both', [slow, quick]);
  const lanes = [quick, fresh, slow, timed].map((name) => lane(name));
  assert.deepEqual(
    inOrder([...lanes, both]).map(({ name }) => name),
    [timed, 'both', slow, fresh, quick],
  );
});

for (const atOnce of [1, 2, 3, 9]) {
  test(`each file runs once, ${atOnce} at once; and one of those that are timed`, async () => {
    const others = Array.from({ length: 20 }, (_, index) => `short ${index}`);
    const lanes = inOrder([...others, ...TIMED].map((name) => lane(name)));
    const now = new Set<string>();
    const taken: number[] = [];
    const timed: number[] = [];
    const began: string[] = [];
    await inLanes(lanes, atOnce, async ({ name: file }) => {
      began.push(file);
      now.add(file);
      taken.push(now.size);
      timed.push([...now].filter((one) => TIMED.has(one)).length);
      await pause(TIMED.has(file) ? 5 : 2);
      now.delete(file);
    });
    assert.deepEqual(began.toSorted(), [...others, ...TIMED].toSorted());
    assert.equal(Math.max(...taken), atOnce, 'no lane is left empty, and there is not one more');
    assert.equal(Math.max(...timed), 1);
  });
}

test('what is to be alone begins beside the last of the others, hears when they have ended, and is alone with the rest of its kind', async () => {
  const lanes = ['a', 'b', 'c', 'd'].map((name) => lane(name));
  const said: string[] = [];
  const allEnded = Promise.withResolvers<void>();
  const work = async ({ name }: Lane) => {
    said.push(`${name} begins`);
    await (name === 'alone' ? allEnded.promise : pause(5));
    said.push(`${name} ended`);
  };
  await inLanesThenAlone(lanes, [lane('alone'), lane('next')], 2, work, () => {
    said.push('quiet');
    allEnded.resolve();
  });
  const at = (text: string) => said.indexOf(text);
  assert.ok(at('alone begins') > at('c ended') && at('alone begins') < at('d ended'), said.join());
  assert.deepEqual(said.slice(-4), ['quiet', 'alone ended', 'next begins', 'next ended']);
  const none: string[] = [];
  await inLanesThenAlone(
    [],
    [lane('alone')],
    2,
    async ({ name }) => void none.push(name),
    () => none.push('quiet'),
  );
  assert.deepEqual(none, ['quiet', 'alone']);
});

test('what is to be alone does not go before what waits for its turn', async () => {
  const timed = [...TIMED].slice(0, 3).map((name) => lane(name));
  const said: string[] = [];
  const allEnded = Promise.withResolvers<void>();
  const work = async ({ name }: Lane) => {
    said.push(name);
    await (name === 'alone' ? allEnded.promise : pause(5));
  };
  await inLanesThenAlone([...timed, lane('short')], [lane('alone')], 4, work, () => allEnded.resolve());
  assert.deepEqual(said.at(-1), 'alone');
});

test('of three lanes two whose files share a platform have one, beside what is timed and another', async () => {
  const shared = ['one', 'two'].map((name) => ({ ...lane(name), isShared: true }));
  const timed = [...TIMED][0]!;
  const now = new Set<string>();
  const beside: string[][] = [];
  await inLanes([lane(timed), ...shared, lane('other'), lane('next')], 3, async ({ name }) => {
    now.add(name);
    beside.push([...now]);
    await pause(name === timed || name === 'other' ? 20 : 5);
    now.delete(name);
  });
  assert.deepEqual(beside, [
    [timed],
    [timed, 'one'],
    [timed, 'one', 'two'],
    [timed, 'one', 'two', 'other'],
    [timed, 'other', 'next'],
  ]);
});

test('a failure of one is told', async () => {
  await assert.rejects(
    inLanes([lane('a'), lane('b')], 2, ({ name }) =>
      name === 'b' ? Promise.reject(new Error('b failed')) : Promise.resolve(),
    ),
    /b failed/,
  );
});

test('a run says which files took longest, and what all took of the processors', () => {
  const result = (name: string, seconds: number, processorSeconds: number | null): LaneResult => ({
    ...{ name, seconds, processorSeconds, failure: null, output: '' },
    files: [{ file: name, seconds, passed: true, skipped: [], failures: [] }],
  });
  const results = [result('a', 3, 1.6), result('b', 9, 4), result('c', 5, 2)];
  assert.deepEqual(mostCostly(results, 2), [
    '9 s, 4 s of processor: b',
    '5 s, 2 s of processor: c',
    '17 s, 8 s of processor: 3 files together',
  ]);
  assert.deepEqual(mostCostly([result('a', 3, null), result('b', 1, null)], 1), ['3 s: a', '4 s: 2 files together']);
  assert.deepEqual(mostCostly([result('a', 3, 1)]), []);
});

test('files that share a platform are on one machine of few, and those take about as long as each other', () => {
  const other = 'test/e2e/push.test.ts';
  const lanes = lanesOf([other, ...SHARED], secondsOf);
  assert.deepEqual(lanes.flatMap(({ files }) => files).toSorted(), [other, ...SHARED].toSorted(), 'each once');
  assert.equal(lanes.length, 3);
  const [one, two] = lanes.map(({ files }) => files.reduce((sum, file) => sum + secondsOf(file), 0));
  assert.ok(Math.abs(one! - two!) < 60, `${one} s and ${two} s`);
  assert.deepEqual(lanes.at(-1), lane(other));
  assert.equal(lanesOf([SHARED[0]!], secondsOf).length, 1, 'one file has one platform');
});

test('short files of a room have a machine together, five at most; long ones and those of other rooms one each', () => {
  const cc = (name: string): string => `test/integration/cloud-controller/${name}.test.ts`;
  const short = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(cc);
  const [long, only, cell] = [cc('quotas'), 'test/integration/uaa/a.test.ts', 'test/integration/cell/a.test.ts'];
  const lanes = lanesOf([...short, long, only, cell], secondsOf);
  assert.deepEqual(Object.fromEntries(lanes.map(({ name, files }) => [name, files])), {
    [long]: [long],
    [only]: [only],
    [cell]: [cell],
    'test/integration/cloud-controller, machine 1': short.slice(0, 5),
    'test/integration/cloud-controller, machine 2': short.slice(5),
  });
  assert.deepEqual(
    argumentsFor(short, (file) => file),
    ['--test-concurrency=1'],
  );
});

test('the machine of files that share a platform puts it up', () => {
  const pathOf = (file: string): string => join(ROOT, file);
  const shared = argumentsFor(SHARED, pathOf);
  const setup = shared.find((word) => word.startsWith('--test-global-setup='));
  assert.ok(existsSync(setup?.split('=')[1] ?? ''), `${setup} is there`);
  assert.deepEqual(argumentsFor(['test/e2e/push.test.ts'], pathOf), []);
});

test('of files on one machine those that failed are named; where all passed, what they share', () => {
  const passed = { file: 'shared/a', seconds: 3, passed: true, skipped: [], failures: [] };
  const result: LaneResult = {
    ...{ name: 'shared', seconds: 9, processorSeconds: 4, failure: 'ended with 1', output: '' },
    files: [
      passed,
      { ...passed, file: 'shared/b', passed: false },
      { ...passed, file: 'shared/c', seconds: null, passed: false },
    ],
  };
  assert.deepEqual(failuresIn(result), ['shared/b ended with 1', 'shared/c ended with 1']);
  assert.equal(filesApart(result), '    shared/a (3 s)\n    shared/b (3 s) FAILED\n    shared/c (not done) FAILED\n');
  assert.deepEqual(failuresIn({ ...result, files: [passed] }), ['shared ended with 1']);
  assert.equal(filesApart({ ...result, files: [passed] }), '');
  assert.deepEqual(failuresIn({ ...result, failure: null }), []);
});
