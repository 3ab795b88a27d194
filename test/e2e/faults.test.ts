import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { processesOf, TARGETS, type Target } from '../support/fault-targets.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { figures, judge, STEADY, UsedPlatform } from '../support/used-platform.ts';

const SKIP = process.getuid?.() !== 0 ? 'needs root' : officialCf() === null ? NO_OFFICIAL_CF : false;
/** From the kill until everything is as it was. */
const RECOVERY_MS = 10_000;
/** Requests that the killed process itself may carry: one of each client. */
const CARRIED = 4;

/** Killing these ends requests that are on their way through them; the others carry none. */
const CARRIES: ReadonlySet<Target> = new Set(['router', 'cell-0-proxy', 'app', 'conmon']);
/** Left out of the pairs: another of the same kind is among them, or nothing waits for it. */
const ALIKE: ReadonlySet<Target> = new Set(['cell-1', 'dns']);

describe('a platform whose parts are killed while it is used', { skip: SKIP }, () => {
  const platform = new UsedPlatform({
    httpsPort: 8444,
    domain: 'faults.cupola.localhost',
    options: ['--cells', '2'],
  });

  before(() => platform.prepare());
  after(async () => {
    await platform.destroy().catch((cause: unknown) => console.error(cause));
    platform.removeFiles();
  });

  for (const target of TARGETS) {
    test(`HAV-01, SECURITY 37: ${target} is killed`, async (context) => {
      const seen = await platform.whileUsed(async () => platform.recovered(await kill(target), RECOVERY_MS));
      context.diagnostic(figures(seen));
      judge(seen, CARRIES.has(target) ? CARRIED : 0);
    });
  }

  test('SECURITY 37: any two of them are killed at once', async (context) => {
    const troubles: string[] = [];
    for (const [one, other] of pairs(TARGETS.filter((target) => !ALIKE.has(target)))) {
      await platform.forgiveCrashes();
      try {
        const seen = await platform.whileUsed(async () =>
          platform.recovered([...(await kill(one)), ...(await kill(other))], RECOVERY_MS),
        );
        context.diagnostic(`${one} and ${other}: ${figures(seen)}`);
        judge(seen, [one, other].filter((target) => CARRIES.has(target)).length * CARRIED);
      } catch (error) {
        troubles.push(`${one} and ${other}: ${describeError(error)}`);
      }
    }
    assert.deepEqual(troubles, []);
  });

  async function kill(target: Target): Promise<number[]> {
    const index = target === 'app' || target === 'conmon' ? platform.victim() : 0;
    const pids = processesOf(platform, target, STEADY, index);
    assert.ok(pids.length > 0, `${target} runs`);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    return pids;
  }
});

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause ? `${error.message}: ${describeError(error.cause)}` : error.message;
}

function pairs<T>(items: readonly T[]): [T, T][] {
  return items.flatMap((one, index) => items.slice(index + 1).map((other): [T, T] => [one, other]));
}
