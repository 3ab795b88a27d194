import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { TARGETS, type Target } from '../support/fault-targets.ts';
import { carriedBy, kill, RECOVERY_MS } from '../support/kills.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { figures, judge, UsedPlatform } from '../support/used-platform.ts';

const SKIP = process.getuid?.() !== 0 ? 'needs root' : officialCf() === null ? NO_OFFICIAL_CF : false;
/** Left out: another of the same kind is among them, or nothing waits for it. */
const ALIKE: ReadonlySet<Target> = new Set(['cell-1', 'dns']);

describe('a platform two of whose parts are killed while it is used', { skip: SKIP }, () => {
  const platform = new UsedPlatform({
    httpsPort: 8444,
    domain: 'faults.cupola.localhost',
    options: ['--cells', '2'],
  });

  before(() => platform.prepare());
  after(async () => {
    await platform.remove();
  });

  test('SECURITY 37: any two of them are killed at once', async (context) => {
    const troubles: string[] = [];
    for (const [one, other] of pairs(TARGETS.filter((target) => !ALIKE.has(target)))) {
      await platform.forgiveCrashes();
      try {
        const seen = await platform.whileUsed(async () =>
          platform.recovered([...(await kill(platform, one)), ...(await kill(platform, other))], RECOVERY_MS),
        );
        context.diagnostic(`${one} and ${other}: ${figures(seen)}`);
        judge(seen, carriedBy(one, other));
      } catch (error) {
        troubles.push(`${one} and ${other}: ${describeError(error)}`);
      }
    }
    assert.deepEqual(troubles, []);
  });
});

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause ? `${error.message}: ${describeError(error.cause)}` : error.message;
}

function pairs<T>(items: readonly T[]): [T, T][] {
  return items.flatMap((one, index) => items.slice(index + 1).map((other): [T, T] => [one, other]));
}
