import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { type FileResult, mostCostly } from '../../../src/cli/lanes/files.ts';
import { ALONE, inLanes, inOrder, SECONDS, TIMED } from '../../../src/cli/lanes/order.ts';
import { ROOT } from '../../support/project-files.ts';

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
  assert.deepEqual(inOrder([quick, fresh, slow, timed]), [timed, slow, fresh, quick]);
});

for (const atOnce of [1, 2, 3, 9]) {
  test(`each file runs once, ${atOnce} at once; of three lanes or more one that is timed takes two`, async () => {
    const others = Array.from({ length: 20 }, (_, index) => `short ${index}`);
    const files = inOrder([...others, ...TIMED]);
    const now = new Set<string>();
    const taken: number[] = [];
    const began: string[] = [];
    await inLanes(files, atOnce, async (file) => {
      began.push(file);
      now.add(file);
      taken.push(now.size + (atOnce > 2 ? [...now].filter((one) => TIMED.has(one)).length : 0));
      await pause(TIMED.has(file) ? 5 : 2);
      now.delete(file);
    });
    assert.deepEqual(began.toSorted(), files.toSorted());
    assert.equal(Math.max(...taken), atOnce, 'no lane is left empty, and there is not one more');
  });
}

test('a failure of one is told', async () => {
  await assert.rejects(
    inLanes(['a', 'b'], 2, (file) => (file === 'b' ? Promise.reject(new Error('b failed')) : Promise.resolve())),
    /b failed/,
  );
});

test('a run says which files took longest, and what all took of the processors', () => {
  const result = (file: string, seconds: number, processorSeconds: number | null): FileResult => ({
    ...{ file, seconds, processorSeconds },
    ...{ failure: null, skipped: [], output: '' },
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
