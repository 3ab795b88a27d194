import { after, before, describe, test } from 'node:test';
import { TARGETS } from '../support/fault-targets.ts';
import { carriedBy, kill, RECOVERY_MS } from '../support/kills.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { figures, judge, UsedPlatform } from '../support/used-platform.ts';

const SKIP = process.getuid?.() !== 0 ? 'needs root' : officialCf() === null ? NO_OFFICIAL_CF : false;
describe('a platform whose parts are killed while it is used', { skip: SKIP }, () => {
  const platform = new UsedPlatform({
    httpsPort: 8444,
    domain: 'faults.cupola.localhost',
    options: ['--cells', '2'],
  });

  before(() => platform.prepare());
  after(() => platform.remove());

  for (const target of TARGETS) {
    test(`HAV-01, SECURITY 37: ${target} is killed`, async (context) => {
      const seen = await platform.whileUsed(async () => platform.recovered(await kill(platform, target), RECOVERY_MS));
      context.diagnostic(figures(seen));
      judge(seen, carriedBy(target));
    });
  }
});
