import assert from 'node:assert/strict';
import { test } from 'node:test';
import { afterCrash } from '../../../src/diego/convergence/back-off.ts';

test('DGO-04: crashes are followed by restarts at once, then later and later up to 16 minutes', () => {
  const pauses: number[] = [];
  let crashCount = 0;
  for (let crash = 1; crash <= 10; crash += 1) {
    const after = afterCrash({ state: 'RUNNING', sinceMs: 0, crashCount }, 1_000);
    crashCount = after.crashCount;
    pauses.push(after.pauseMs / 1_000);
  }
  assert.deepEqual(pauses, [0, 0, 30, 60, 120, 240, 480, 960, 960, 960]);
});

test('five minutes of running well start the count anew; five minutes of starting do not', () => {
  assert.equal(afterCrash({ state: 'RUNNING', sinceMs: 0, crashCount: 7 }, 300_000).crashCount, 1);
  assert.equal(afterCrash({ state: 'RUNNING', sinceMs: 0, crashCount: 7 }, 299_999).crashCount, 8);
  assert.equal(afterCrash({ state: 'CLAIMED', sinceMs: 0, crashCount: 7 }, 300_000).crashCount, 8);
});
