import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { checkComparisons, checkUpdates } from '../support/route-updates.ts';

for (let run = 0; run < 10; run += 1) {
  /** Another in each run: what fails names it. */
  const seed = randomInt(2 ** 31);
  test(`what updates lead to is what all entries at once give, after each of many steps (seed ${seed})`, () =>
    checkUpdates(seed));
  test(`a comparison brings what events did not tell: the state is a fresh one’s (seed ${seed})`, () =>
    checkComparisons(seed));
}
