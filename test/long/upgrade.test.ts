import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { EarlierPlatform, hasCommit, type Listed } from '../support/earlier-platform.ts';
import { type StartedLoad, startLoad } from '../support/load.ts';
import { NO_OFFICIAL_CF, officialCf } from '../support/official-cf.ts';
import { eventually, ROOT } from '../support/platform.ts';

/** Before settings were checked, migrations lay in one folder, events and changes had one transaction, blobs had accounts. */
const EARLIER = '8e14b98d5d8abf980edc46961a9b403da1b1d5d9';
const SKIP =
  process.getuid?.() !== 0
    ? 'needs root'
    : officialCf() === null
      ? NO_OFFICIAL_CF
      : hasCommit(EARLIER)
        ? false
        : `commit ${EARLIER} is not in this clone`;
const STEADY = join(ROOT, 'test/fixtures/steady');
const PASSWORD = 'a-long-password-of-alice';
const INSTANCES = 2;

/** What lists told then and hide now. */
const HIDDEN_SINCE = ['processes command'];

describe('a platform that an earlier version put up', { skip: SKIP }, () => {
  const platform = SKIP ? null : new EarlierPlatform(EARLIER, { httpsPort: 8446, domain: 'upgrade.cupola.localhost' });
  const home = (): string => join(platform!.home, 'alice');
  let earlier: Listed;
  let alone: string[];
  let lastTick: number;

  before(async () => {
    const p = platform!;
    await p.prepare('kept');
    await p.run('create-org-quota', 'large', '-m', '8G', '-r', '50');
    await p.run('set-org-quota', 'kept', 'large');
    await p.run('create-space-quota', 'small', '-m', '4G', '-r', '20');
    await p.run('set-space-quota', 'dev', 'small');
    await p.run('create-user', 'alice', PASSWORD);
    await p.run('set-space-role', 'alice', 'kept', 'dev', 'SpaceDeveloper');
    const rules = p.file('rules.json', '[{"protocol": "tcp", "destination": "198.51.100.0/24", "ports": "443"}]');
    await p.run('create-security-group', 'inside', rules);
    await p.run('bind-security-group', 'inside', 'kept', '--space', 'dev');
    await p.run('create-isolation-segment', 'walled');
    await p.run('enable-org-isolation', 'kept', 'walled');
    await p.run('create-private-domain', 'kept', 'kept.example.org');
    await p.run('enable-feature-flag', 'diego_docker');
    await p.run('set-running-environment-variable-group', '{"OF_ALL": "kept"}');
    await p.run('create-app', 'idle');
    await p.run('push', 'steady', '-p', STEADY, '-m', '64M', '-k', '256M', '-i', String(INSTANCES));
    await p.run('set-env', 'steady', 'OF_ONE', 'kept');
    await p.run('set-label', 'app', 'steady', 'tier=gold');
    await p.run('create-route', p.domain, '--hostname', 'spare');
    await p.run('map-route', 'steady', p.domain, '--hostname', 'second');
    await p.run('run-task', 'steady', '--command', 'echo done', '--name', 'once');
    await eventually('the task ends', async () => /once\s+SUCCEEDED/.test(await p.run('tasks', 'steady')));
    await p.signInAs(home(), 'alice', PASSWORD);
    await p.as(home(), 'target', '-o', 'kept', '-s', 'dev');
    const guid = (await p.run('app', 'steady', '--guid')).trim();
    alone = [
      `/v3/apps/${guid}/environment_variables`,
      `/v3/apps/${guid}/droplets/current`,
      `/v3/apps/${guid}/features`,
      '/v3/environment_variable_groups/running',
      '/v3/feature_flags/diego_docker',
    ];
    earlier = await p.listed(alone);
    lastTick = highestTick(await p.run('logs', 'steady', '--recent'));
    assert.ok(lastTick > 0);
  });
  after(async () => {
    await platform?.remove();
  });

  test('goes on serving with the same instances while this version takes over', async (t) => {
    const p = platform!;
    const before = (await p.status()).supervisor;
    const app = startLoad(p, 'steady', { kinds: ['new', 'new', 'kept', 'kept'], again: true });
    const api = startLoad(p, 'api', { path: '/v3/info', kinds: ['new'] });
    p.project = ROOT;
    const said = JSON.parse(await p.cupola('upgrade', ['--json'], 10 * 60_000)) as { replaced: string[] };
    await ask(app, app.soFar.requests + 200);
    const [apps, calls] = [await app.stop(), await api.stop()];
    t.diagnostic(`${JSON.stringify(said)}; app: ${apps.requests} requests, slowest ${Math.round(apps.slowestMs)} ms`);
    t.diagnostic(`API: ${calls.requests} requests, slowest ${Math.round(calls.slowestMs)} ms`);
    assert.deepEqual(apps.failures, []);
    assert.deepEqual(calls.failures, []);
    assert.equal(apps.bodies.size, INSTANCES, 'no instance was made anew');
    const { ready, supervisor } = await p.status();
    assert.deepEqual([ready, supervisor.project, supervisor.pid], [true, ROOT, before.pid]);
  });

  test('lists everything as before, its events too', async () => {
    const now = await platform!.listed(alone);
    const wrong: string[] = [];
    for (const [list, resources] of Object.entries(earlier.lists)) {
      assert.ok(resources.size > 0 || list === 'deployments', `${list} shows nothing`);
      for (const [guid, resource] of resources) {
        const found = now.lists[list as keyof Listed['lists']].get(guid);
        for (const [field, value] of Object.entries(resource)) {
          if (HIDDEN_SINCE.includes(`${list} ${field}`) || says(found?.[field], value)) continue;
          wrong.push(`${list} ${field}: ${JSON.stringify(value)}, now ${JSON.stringify(found?.[field])}`);
        }
      }
    }
    assert.deepEqual(wrong, []);
    for (const path of alone) assert.partialDeepStrictEqual(now.alone[path], earlier.alone[path], path);
  });

  test('knows its users: by the tokens they have, and by their passwords', async () => {
    const p = platform!;
    assert.match(await p.as(home(), 'apps'), /steady\s+started/);
    await p.signInAs(home(), 'alice', PASSWORD);
    assert.match(await p.as(home(), 'target', '-o', 'kept', '-s', 'dev'), /alice/);
    await assert.rejects(p.signInAs(join(p.home, 'nobody'), 'alice', 'another-password'), /Credentials were rejected/);
  });

  test('shows what the app it took over logs', async () => {
    const p = platform!;
    await eventually('lines of the app', async () => highestTick(await p.run('logs', 'steady', '--recent')) > lastTick);
  });

  test('takes a push of the same app and of another, by a developer of before', async () => {
    const p = platform!;
    const size = ['-p', STEADY, '-m', '64M', '-k', '256M'];
    await p.as(home(), 'push', 'steady', ...size, '-i', String(INSTANCES));
    await p.as(home(), 'push', 'newcomer', ...size);
    for (const host of ['steady', 'second', 'newcomer'])
      await eventually(`${host} answers`, async () => (await p.request(host)).status === 200);
    assert.match(await p.as(home(), 'env', 'steady'), /OF_ONE:\s+kept/);
  });

  /** Waits until the clients have asked so often. */
  async function ask({ soFar }: StartedLoad, times: number): Promise<void> {
    await eventually(`${times} requests`, async () => soFar.requests >= times);
  }
});

/** The highest number that the steady app has counted to, 0 where its log shows none. */
function highestTick(log: string): number {
  return Math.max(0, ...Array.from(log.matchAll(/ tick \S+ (\d+)$/gm), ([, number]) => Number(number)));
}

/** Whether a field says what it said, and perhaps more. */
function says(now: unknown, before: unknown): boolean {
  try {
    assert.partialDeepStrictEqual({ field: now }, { field: before });
    return true;
  } catch {
    return false;
  }
}
