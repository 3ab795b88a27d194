import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { routerAddress } from '../../src/platform/addresses.ts';
import { BOMBS } from '../support/bombs.ts';
import { instances } from '../support/fault-targets.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { eventually, ROOT, TestPlatform } from '../support/platform.ts';
import { MOST_WAIT_MS, quiet } from '../support/quiet.ts';
import { percentile, timeRequests } from '../support/request-timer.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;
/** How long requests are timed. */
const WINDOW_MS = 2_500;

describe('a tenant that takes all there is', { skip: SKIP, timeout: MOST_WAIT_MS }, () => {
  const platform = new TestPlatform({ httpsPort: 8446, domain: 'hostile.cupola.localhost', options: ['--cells', '2'] });
  const cf = (...args: string[]) => platform.cf(CF, args);

  before(async () => {
    await platform.up();
    await platform.signIn(CF);
    const apps = [
      ['victims', 'steady', '64M'],
      ['villains', 'attacker', '128M'],
    ] as const;
    for (const [org] of apps) await platform.makeOrg(CF, org);
    // Both at once, each by a client of its own.
    await Promise.all(
      apps.map(async ([org, app, memory]) => {
        const home = join(platform.home, org);
        cpSync(join(platform.home, '.cf'), join(home, '.cf'), { recursive: true });
        const client = { env: { CF_HOME: home } };
        const own = (...args: string[]) => platform.cf(CF, args, client);
        await own('target', '-o', org, '-s', 'dev');
        const scale = ['-m', memory, '-k', '512M', '-i', '2'];
        await own('push', app, '-p', join(ROOT, 'test/fixtures', app), '-b', 'nodejs_buildpack', ...scale);
        await platform.allInstances(CF, app, client);
      }),
    );
  });
  before((context) => quiet(platform.data, (text) => context.diagnostic(text)), { timeout: MOST_WAIT_MS });
  after(() => platform.remove());

  test('SECURITY 32: a neighbour’s p99 stays within twice its quiet value under every bomb', async (context) => {
    // A p99 of so short a time varies by itself: the worst of those that were measured between the bombs.
    let usual = percentile(await measure(WINDOW_MS), 0.99);
    const slow: string[] = [];
    const victims = running('steady');
    assert.equal(victims.size, 2);
    for (const [name, { script, unit, least }] of Object.entries(BOMBS)) {
      usual = Math.max(usual, percentile(await measure(WINDOW_MS), 0.99));
      const runs = [await under(script)];
      // One measurement may have met something else on the machine: the median of three counts then.
      while (runs[0]!.p99 > 2 * usual && runs.length < 3) runs.push(await under(script));
      const p99 = percentile(
        runs.map((one) => one.p99),
        0.5,
      );
      const amounts = runs.map(({ amount }) => amount ?? 'its own instance');
      context.diagnostic(`${name}: ${amounts} ${unit}; p99 ${p99.toFixed(1)} ms, quiet ${usual.toFixed(1)} ms`);
      // What costs the attacker its own instance went off, too.
      for (const { amount } of runs)
        assert.ok(amount === null || amount >= least, `the ${name} bomb: ${amount} ${unit}`);
      if (p99 > 2 * usual) slow.push(`${name}: ${p99.toFixed(1)} ms`);
      assert.deepEqual(
        running('steady'),
        victims,
        `after the ${name} bomb other instances of the neighbour run than before`,
      );
      if (name === 'log') {
        await eventually('lines of the log bomb arrive', async () =>
          /a-line-of-a-log-bomb/.test(await cf('logs', 'attacker', '--recent')),
        );
      }
    }
    assert.deepEqual(slow, [], `quiet ${usual.toFixed(1)} ms`);
    // The attacker may have cost itself an instance, which is started again.
    await eventually('both instances of the attacker run again', async () => running('attacker').size === 2);
  });

  /** Guids of an app's instances that run. */
  function running(app: string): Set<string> {
    return new Set(instances(platform, /server\.js/, app).map(({ guid }) => guid));
  }

  /** The victim's p99 in milliseconds while the attacker runs a bomb, and how much of it went off; null where the attacker lost an instance by it. */
  async function under(script: string, mayEndItself = true): Promise<{ p99: number; amount: number | null }> {
    const { settings } = platform.layout;
    // A request to an instance that the bomb before has just ended would set nothing off, and one that crashed often is waited for.
    if (running('attacker').size !== 2) await cf('restart', 'attacker');
    await eventually('both instances of the attacker run', async () => running('attacker').size === 2);
    const before = running('attacker');
    const bomb = platform.ask('attacker', '/', {
      body: script.replace('ROUTER', `${routerAddress(settings)} ${settings.httpsPort}`),
    });
    const said = bomb.then(
      ({ status, body }) => (status === 200 ? body : `status ${status}`),
      (error: unknown) => String(error),
    );
    await pause(300);
    const p99 = percentile(await measure(WINDOW_MS), 0.99);
    const text = (await said).trim();
    // A bomb may have cost the attacker its own instance; nobody else's.
    await eventually('the attacker is back', async () => (await platform.ask('attacker')).status === 200);
    if (/^\d+$/.test(text)) return { p99, amount: Number(text) };
    if (/^ended by SIGKILL$/.test(text) && mayEndItself) {
      // Its container was full of what the bomb before had left, and the kernel took the bomb itself.
      await cf('restart', 'attacker');
      return under(script, false);
    }
    const after = running('attacker');
    assert.notDeepEqual(
      after,
      before,
      `the bomb did not go off: ${text}; ${[...before]} ran before, ${[...after]} after`,
    );
    return { p99, amount: null };
  }

  /** Times of requests to the victim for so long, in milliseconds. Every one must succeed. */
  async function measure(forMs: number): Promise<number[]> {
    const { times, failures } = await timeRequests(platform, 'steady', forMs);
    assert.deepEqual(failures, []);
    return times;
  }
});
