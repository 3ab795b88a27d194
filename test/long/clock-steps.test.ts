import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { run } from '../../src/kit/process.ts';
import { instances } from '../support/fault-targets.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { figures, judge, STEADY, UsedPlatform } from '../support/used-platform.ts';

const SKIP = process.getuid?.() !== 0 ? 'needs root' : officialCf() === null ? NO_OFFICIAL_CF : false;
const RECOVERY_MS = 10_000;

/** Sets the machine's clock; `undo` sets it to what it would be without, by the clock that never steps. */
async function stepClock(seconds: number): Promise<{ undo(): Promise<void> }> {
  const before = Date.now();
  const began = performance.now();
  const set = async (milliseconds: number): Promise<void> => {
    await run('date', ['--utc', '--set', new Date(milliseconds).toISOString()]);
  };
  await set(before + seconds * 1000);
  return { undo: () => set(before + (performance.now() - began)) };
}

describe('a platform whose clock steps while it is used', { skip: SKIP }, () => {
  const platform = new UsedPlatform({
    httpsPort: 8445,
    domain: 'clock.cupola.localhost',
    options: ['--cells', '2'],
  });

  before(() => platform.prepare());
  after(async () => {
    await platform.remove();
  });

  const noSteps =
    process.env['CUPOLA_TEST_CLOCK'] === '1' ? false : 'steps the clock of the whole machine: CUPOLA_TEST_CLOCK=1';
  for (const [direction, seconds] of [
    ['forward', 3600],
    ['back', -3600],
  ] as const) {
    test(`SECURITY 38: the clock is set ${direction} by an hour: nothing is moved or refused`, {
      skip: noSteps,
    }, async (context) => {
      const before = instanceGuids();
      const seen = await platform.whileUsed(async () => {
        const stepped = await stepClock(seconds);
        try {
          await pause(15_000);
          await platform.signInAgain(); // tokens of the time before may have ended
          await platform.recovered([], RECOVERY_MS);
          await platform.run('create-org', `the-clock-went-${direction}`);
        } finally {
          await stepped.undo();
        }
        await pause(15_000);
        await platform.signInAgain();
        await platform.recovered([], RECOVERY_MS);
      });
      context.diagnostic(figures(seen));
      judge(seen, 0);
      assert.deepEqual(instanceGuids(), before, 'no instance was started anew');
    });
  }

  function instanceGuids(): string[] {
    return instances(platform, STEADY)
      .map(({ index, guid }) => `${index} ${guid}`)
      .sort();
  }
});
