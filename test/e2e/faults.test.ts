import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { instances, processesOf, TARGETS, type Target } from '../support/fault-targets.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { eventually, ROOT, TestPlatform } from '../support/platform.ts';
import { type Seen, Watch } from '../support/watch.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;
const APP = /^\S*node\s.*server\.js/;
const INSTANCES = 4;
/** From the kill until everything is as it was. */
const RECOVERY_MS = 10_000;
/** Requests that the killed process itself may carry: one of each client. */
const CARRIED = 4;

/** Killing these ends requests that are on their way through them; the others carry none. */
const CARRIES: ReadonlySet<Target> = new Set(['router', 'cell-0-proxy', 'app', 'conmon']);

/** Left out of the pairs: another of the same kind is among them, or nothing waits for it. */
const ALIKE: ReadonlySet<Target> = new Set(['cell-1', 'dns']);

describe('a platform whose parts are killed while it is used', { skip: SKIP }, () => {
  const platform = new TestPlatform({
    httpsPort: 8444,
    domain: 'faults.cupola.localhost',
    options: ['--cells', '2'],
  });
  const cf = (...args: string[]) => platform.cf(CF, args);
  let appGuid = '';
  let token: { text: string; until: number } = { text: '', until: 0 };
  const bearer = async (): Promise<string> => {
    if (Date.now() > token.until) {
      const text = (await cf('oauth-token')).trim().replace(/^bearer /i, '');
      token = { text, until: Date.now() + 300_000 };
    }
    return token.text;
  };

  before(async () => {
    await platform.up();
    await cf('api', platform.credentials.api);
    await platform.cf(CF, ['auth', platform.credentials.username], { password: platform.credentials.password });
    await cf('create-org', 'faults');
    await cf('create-space', 'dev', '-o', 'faults');
    await cf('target', '-o', 'faults', '-s', 'dev');
    const directory = join(ROOT, 'test/fixtures/steady');
    await cf('push', 'steady', '-p', directory, '-m', '64M', '-k', '256M', '-i', String(INSTANCES));
    appGuid = (await cf('app', 'steady', '--guid')).trim();
    await bearer();
  });
  after(async () => {
    await platform.destroy().catch((cause: unknown) => console.error(cause));
    platform.removeFiles();
  });

  for (const target of TARGETS) {
    test(`HAV-01, SECURITY 37: ${target} is killed`, async (context) => {
      const seen = await whileUsed(async (watch) => recovered(watch, await kill(target)));
      context.diagnostic(figures(seen));
      judge(seen, CARRIES.has(target) ? CARRIED : 0);
    });
  }

  test('SECURITY 37: any two of them are killed at once', async (context) => {
    const troubles: string[] = [];
    for (const [one, other] of pairs(TARGETS.filter((target) => !ALIKE.has(target)))) {
      try {
        const seen = await whileUsed(async (watch) => recovered(watch, [...(await kill(one)), ...(await kill(other))]));
        context.diagnostic(`${one} and ${other}: ${figures(seen)}`);
        judge(seen, [one, other].filter((target) => CARRIES.has(target)).length * CARRIED);
      } catch (error) {
        troubles.push(`${one} and ${other}: ${describeError(error)}`);
      }
    }
    assert.deepEqual(troubles, []);
  });

  async function kill(target: Target): Promise<number[]> {
    const pids = await processesOf(platform, target, APP);
    assert.ok(pids.length > 0, `${target} runs`);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    return pids;
  }

  /** Waits until every component runs in a process that was not killed and every index runs once. */
  async function recovered(watch: Watch, killed: readonly number[]): Promise<void> {
    const began = watch.now;
    await eventually(
      'recovery',
      async () => {
        const { ready, components } = await platform.status();
        const back = components.every(({ state, pid }) => state === 'running' && pid !== null && !killed.includes(pid));
        return ready && back && everyIndexOnce();
      },
      60_000,
    );
    const took = watch.now - began;
    assert.ok(took < RECOVERY_MS, `recovery took ${Math.round(took)} ms`);
  }

  function everyIndexOnce(): boolean {
    const found = instances(platform, APP).map(({ index }) => index);
    return found.length === INSTANCES && new Set(found).size === INSTANCES;
  }

  async function whileUsed(body: (watch: Watch) => Promise<void>): Promise<Seen> {
    const watch = new Watch(platform, { host: 'steady', appGuid, token: bearer });
    await pause(500);
    const trouble = await body(watch).then(
      () => null,
      (error: unknown) => error,
    );
    await pause(1000);
    const seen = await watch.stop();
    if (trouble) throw new Error(figures(seen), { cause: trouble });
    await assertKept(seen.written);
    assert.ok(everyIndexOnce(), 'every index runs once');
    return seen;
  }

  async function assertKept(written: readonly string[]): Promise<void> {
    if (written.length === 0) return;
    const names = new Set<string>();
    const prefix = written[0]!.split('-')[0]!;
    const listed = JSON.parse(await cf('curl', '/v3/organizations?per_page=5000')) as { resources: { name: string }[] };
    for (const { name } of listed.resources) if (name.startsWith(prefix)) names.add(name);
    assert.deepEqual(
      written.filter((name) => !names.has(name)),
      [],
      'acknowledged writes are kept',
    );
  }
});

function judge(seen: Seen, allowed: number): void {
  assert.ok(seen.requests > 50, `${seen.requests} requests`);
  const errors = seen.failures.map(({ at, kind, error }) => `${Math.round(at)} ms, ${kind}: ${error}`);
  assert.ok(
    seen.failures.length <= allowed,
    `${seen.failures.length} failed of ${seen.requests}:\n${errors.join('\n')}`,
  );
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause ? `${error.message}: ${describeError(error.cause)}` : error.message;
}

function figures(seen: Seen): string {
  const lost = [...seen.lines.values()].reduce((sum, { missing }) => sum + missing, 0);
  return (
    `${seen.requests} requests, ${seen.failures.length} failed, slowest ${Math.round(seen.slowestMs)} ms; ` +
    `${seen.written.length} writes, ${seen.refused} refused; ${lost} log lines unread`
  );
}

function pairs<T>(items: readonly T[]): [T, T][] {
  return items.flatMap((one, index) => items.slice(index + 1).map((other): [T, T] => [one, other]));
}
