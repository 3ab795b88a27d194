import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { askedThroughout, type Load } from '../../support/load.ts';
import { type Answer, writeManyApp } from '../../support/many-app.ts';
import { NO_OFFICIAL_CF, officialCf } from '../../support/official-cf.ts';
import { eventually, type TestPlatform } from '../../support/platform.ts';
import { SharedPlatform } from '../../support/shared-platform.ts';

const CF = officialCf() ?? '';
const SKIP = process.getuid?.() !== 0 ? 'needs root' : CF === '' ? NO_OFFICIAL_CF : false;

describe('processes, sidecars, tasks and restarts, with the official cf', { skip: SKIP }, () => {
  const platform = new SharedPlatform(CF, 'processes');
  const cf = (...args: string[]) => platform.cf(CF, args);
  const directory = join(platform.home, 'app');

  before(() => platform.enter());
  after(() => platform.leave());

  const push = () => cf('push', '-f', join(directory, 'manifest.yml'), '-p', directory);
  const recent = () => cf('logs', 'many', '--recent');
  /** The block of `cf app` about one process type. */
  const shown = async (type: string): Promise<string> => {
    const text = await cf('app', 'many');
    return new RegExp(`type:\\s+${type}\\n[\\s\\S]*?(?=\\ntype:|$)`).exec(text)?.[0] ?? '';
  };
  const guid = async () => (await cf('app', 'many', '--guid')).trim();
  const curl = async (...args: string[]) => JSON.parse(await cf('curl', ...args));
  const versions = (seen: Load) => [
    ...new Set([...seen.bodies.keys()].map((body) => (JSON.parse(body) as Answer).version)),
  ];
  const answersOf = (version: string, seen: Readonly<Load>) =>
    [...seen.bodies].reduce(
      (sum, [body, times]) => ((JSON.parse(body) as Answer).version === version ? sum + times : sum),
      0,
    );
  const instances = (seen: Load) => new Set([...seen.bodies.keys()].map((body) => (JSON.parse(body) as Answer).guid));

  test('BPK-01: a push of a Node.js app, which is detected, with processes and a sidecar in the manifest runs them all; each is scaled for itself', async () => {
    writeManyApp(directory, 'one');
    const said = await push();
    assert.match(said, /^\s+nodejs_buildpack\s/m);
    assert.match(said, /type:\s+web\nsidecars:\s+helper/);
    assert.match(await shown('worker'), /instances:\s+1\/1\s+memory usage:\s+32M/);
    assert.match(await shown('batch'), /instances:\s+0\/0/);
    await cf('scale', 'many', '--process', 'worker', '-i', '2');
    await eventually('two workers', async () => /instances:\s+2\/2/.test(await shown('worker')));
    assert.match(await shown('web'), /instances:\s+1\/1/);
    await eventually('the worker’s lines', async () =>
      /\[APP\/PROC\/WORKER\/1\] OUT the worker works/.test(await recent()),
    );
    const routes = await curl(`/v3/apps/${await guid()}/routes`);
    assert.deepEqual(
      routes.resources[0].destinations.map(
        (destination: { app: { process: { type: string } } }) => destination.app.process.type,
      ),
      ['web'],
    );
  });

  test('a sidecar runs beside the app, logs under its own name, and the instance crashes when it ends', async () => {
    await eventually('the sidecar’s line', async () =>
      /\[APP\/PROC\/WEB\/SIDECAR\/HELPER\/0\] OUT the helper has 16m/.test(await recent()),
    );
    const [sidecar] = (await curl(`/v3/apps/${await guid()}/sidecars`)).resources;
    assert.deepEqual([sidecar.name, sidecar.memory_in_mb, sidecar.origin], ['helper', 16, 'user']);
    const endsSoon = JSON.stringify({ command: 'sleep 3; echo the helper ends' });
    await curl('-X', 'PATCH', `/v3/sidecars/${sidecar.guid}`, '-d', endsSoon);
    await cf('restart', 'many');
    const event = await eventually('the crash', async () =>
      (await curl(`/v3/audit_events?types=audit.app.process.crash&target_guids=${await guid()}`)).resources.at(-1),
    );
    assert.equal(event.data.exit_description, 'APP/PROC/WEB/SIDECAR/HELPER: Exited with status 0');
    await cf('curl', '-X', 'DELETE', `/v3/sidecars/${sidecar.guid}`);
    await cf('restart', 'many');
    assert.match(await shown('web'), /sidecars:\s*\n/);
  });

  test('LOG-01: after `cf rename`, `rename-space` and `rename-org` lines, access logs and metrics of the same instances carry the new names', async () => {
    const app = await guid();
    const token = (await cf('oauth-token')).trim().replace(/^bearer /i, '');
    const instance = async () => (JSON.parse((await platform.ask('many')).body) as Answer).guid;
    const before = await instance();
    const since = (time: number) => envelopesOf(platform, { app, token, since: time });
    for (const [command, tag, from, to] of [
      ['rename', 'app_name', 'many', 'renamed'],
      ['rename-space', 'space_name', 'dev', 'prod'],
      ['rename-org', 'organization_name', platform.org, 'umbrella'],
    ] as const) {
      const began = Date.now();
      await cf(command, from, to);
      await eventually(
        `lines with the ${tag} ${to}`,
        async () => {
          await platform.ask('many');
          const types = (await since(began))
            .filter(({ tags }) => tags[tag] === to)
            .map(({ tags }) => tags['source_type']);
          return types.includes('APP/PROC/WORKER') && types.includes('RTR');
        },
        20_000,
      );
    }
    const renamed = Date.now();
    await platform.ask('many');
    const seen = await eventually('lines and metrics from then on', async () => {
      const found = await since(renamed);
      const kinds = found.map(({ tags, gauge }) => (gauge ? 'metrics' : tags['source_type']));
      return ['APP/PROC/WORKER', 'RTR', 'metrics'].every((kind) => kinds.includes(kind)) && found;
    });
    const names = seen.map(({ tags }) => [tags['app_name'], tags['space_name'], tags['organization_name']].join(' '));
    assert.deepEqual([...new Set(names)], ['renamed prod umbrella']);
    const ofWeb = seen
      .filter(({ tags }) => tags['process_type'] === 'web')
      .map(({ tags }) => tags['process_instance_id']);
    assert.deepEqual([...new Set(ofWeb)], [before]);
    assert.equal(await instance(), before);
    await cf('rename-org', 'umbrella', platform.org);
    await cf('rename-space', 'prod', 'dev');
    await cf('rename', 'renamed', 'many');
  });

  test('`cf run-task --wait` ends as its task does; limits, template, results and log lines are there', async () => {
    await cf('run-task', 'many', '--command', 'echo it is done', '--name', 'good', '--wait');
    const bad = await platform.tryCf(CF, ['run-task', 'many', '--command', 'exit 4', '--name', 'bad', '--wait']);
    assert.equal(bad.exitCode, 1);
    await cf(
      'run-task',
      'many',
      '--process',
      'batch',
      '--name',
      'batch',
      '-m',
      '48M',
      '-k',
      '128M',
      '-l',
      '1K',
      '--wait',
    );
    const greedy = `perl -e 'my @a; push @a, "x" x 1048576 while 1'`;
    await platform.tryCf(CF, ['run-task', 'many', '--command', greedy, '--name', 'greedy', '-m', '32M', '--wait']);
    const fills = 'head -c 64M /dev/zero > /tmp/big';
    await platform.tryCf(CF, [
      'run-task',
      'many',
      '--command',
      fills,
      '--name',
      'fills',
      '-k',
      '32M',
      '-m',
      '64M',
      '--wait',
    ]);
    const talks = 'for i in $(seq 200); do echo line $i of a task that talks too much; done; sleep 1';
    await cf('run-task', 'many', '--command', talks, '--name', 'talks', '-l', '1K', '-m', '64M', '--wait');
    await cf('run-task', 'many', '--command', 'sleep 300', '--name', 'long', '-m', '64M');
    await eventually('it runs', async () => (await task('long')).state === 'RUNNING');
    await cf('terminate-task', 'many', String((await task('long')).sequence_id));
    await eventually('it ended', async () => (await task('long')).state === 'FAILED');
    assert.equal((await task('good')).state, 'SUCCEEDED');
    assert.equal((await task('bad')).result.failure_reason, 'APP/TASK/bad: Exited with status 4');
    const { memory_in_mb, disk_in_mb, log_rate_limit_in_bytes_per_second: rate } = await task('batch');
    assert.deepEqual([memory_in_mb, disk_in_mb, rate], [48, 128, 1024]);
    assert.equal(
      (await task('greedy')).result.failure_reason,
      'APP/TASK/greedy: Exited with status 137 (out of memory)',
    );
    assert.match((await task('fills')).result.failure_reason, /APP\/TASK\/fills: Exited with status 1/);
    assert.equal((await task('long')).result.failure_reason, 'task was cancelled');
    await eventually('lines of tasks', async () => {
      const lines = await recent();
      return (
        /\[APP\/TASK\/good\/0\] OUT it is done/.test(lines) &&
        /\[APP\/TASK\/batch\/0\] OUT a batch of 48m/.test(lines) &&
        /\[APP\/TASK\/talks\/0\] ERR app instance exceeded log rate limit \(1024 bytes\/sec\)/.test(lines)
      );
    });
    assert.match(await cf('tasks', 'many'), /long\s+FAILED/);

    async function task(name: string) {
      return (await curl(`/v3/apps/${await guid()}/tasks?names=${name}`)).resources[0];
    }
  });

  test('a task that finds no room waits, and is cancelled while it waits', async () => {
    await cf('run-task', 'many', '--command', 'true', '--name', 'huge', '-k', '900G', '-m', '32M');
    const [huge] = (await curl(`/v3/apps/${await guid()}/tasks?names=huge`)).resources;
    assert.equal(huge.state, 'PENDING');
    await cf('terminate-task', 'many', String(huge.sequence_id));
    const ended = await eventually('it ended', async () => {
      const seen = await curl(`/v3/tasks/${huge.guid}`);
      return seen.state === 'FAILED' && seen;
    });
    assert.equal(ended.result.failure_reason, 'task was cancelled');
  });

  test('an instance that is not ready runs on, is shown so, and gets no requests', async () => {
    await platform.ask('many', '/unready');
    await eventually('it is shown', async () => /#0\s+running.*false/.test(await shown('web')));
    await eventually('nobody serves', async () => (await platform.ask('many')).status === 503);
    assert.match(await shown('web'), /instances:\s+1\/1/);
    await eventually('the event', async () => /audit\.app\.process\.not-ready/.test(await cf('events', 'many')));
    const [stats] = (await curl(`/v3/apps/${await guid()}/processes/web/stats`)).resources;
    assert.deepEqual([stats.state, stats.routable], ['RUNNING', false]);
    await cf('restart', 'many');
    await eventually('it serves again', async () => (await platform.ask('many')).status === 200);
    assert.match(await shown('web'), /#0\s+running.*true/);
  });

  test('lines over the log rate limit are dropped and the developer is told; a quota holds for apps and tasks', async () => {
    await cf('scale', 'many', '-l', '1K', '-f');
    assert.match(await shown('web'), /of 1K\/s/);
    await platform.ask('many', '/log');
    await eventually('the notice', async () =>
      /\[APP\/PROC\/WEB\/0\] ERR app instance exceeded log rate limit \(1024 bytes\/sec\)/.test(await recent()),
    );
    assert.doesNotMatch(await recent(), /\[APP\/PROC\/WEB\/0\] OUT line 59/);
    await cf('scale', 'many', '--process', 'worker', '-l', '1K', '-f');
    await cf('create-space-quota', 'quiet', '-l', '8K', '-m', '4G');
    await cf('set-space-quota', 'dev', 'quiet');
    const loud = await platform.tryCf(CF, ['scale', 'many', '-l', '32K', '-f']);
    assert.match(loud.stdout + loud.stderr, /Log rate quota exceeded for space 'dev'/i);
    const task = await platform.tryCf(CF, ['run-task', 'many', '--command', 'true']);
    assert.match(task.stdout + task.stderr, /log rate limit cannot be unlimited in space 'dev'/i);
    await cf('run-task', 'many', '--command', 'true', '-l', '1K', '-m', '32M', '--wait');
    await cf('unset-space-quota', 'dev', 'quiet');
  });

  test('HAV-01: `cf restart` of one instance and of three fails no request', async () => {
    const one = await askedThroughout(platform, 'many', () => replaced(1));
    assert.deepEqual(one.failures, []);
    assert.equal(instances(one).size, 2, 'the old and the new');
    await cf('scale', 'many', '-i', '3');
    await eventually('three instances', async () => /instances:\s+3\/3/.test(await shown('web')));
    await eventually('all serve', async () => ((await shown('web')).match(/running.*true/g) ?? []).length === 3);
    const three = await askedThroughout(platform, 'many', () => replaced(3));
    assert.deepEqual(three.failures, []);
    assert.equal(instances(three).size, 6);

    async function replaced(count: number): Promise<void> {
      await cf('restart', 'many');
      await oldOnesGone(count);
    }
  });

  test('CC-07: a push of a new version fails no request, and none of the old version is left', async () => {
    writeManyApp(directory, 'two');
    const seen = await askedThroughout(platform, 'many', async () => {
      await cf('push', 'many', '-p', directory, '-i', '3');
      await oldOnesGone(3);
    });
    assert.deepEqual(seen.failures, []);
    assert.deepEqual(versions(seen).sort(), ['one', 'two']);
    assert.equal((JSON.parse((await platform.ask('many')).body) as Answer).version, 'two');
  });

  test('a new version that does not start leaves the old one serving, and is reported as crashed', async () => {
    writeManyApp(directory, 'broken');
    const seen = await askedThroughout(platform, 'many', async () => {
      const broken = await platform.tryCf(CF, ['push', 'many', '-p', directory]);
      assert.notEqual(broken.exitCode, 0);
      assert.match(broken.stdout + broken.stderr, /Start unsuccessful/);
    });
    assert.deepEqual(seen.failures, []);
    assert.deepEqual(versions(seen), ['two']);
    const both = await eventually('what serves is shown beside what crashed', async () => {
      const text = await cf('app', 'many');
      return (text.match(/type:\s+web\n/g) ?? []).length === 2 && text;
    });
    assert.match(both, /type:\s+web\n[\s\S]*crashed[\s\S]*type:\s+web\n[\s\S]*instances:\s+3\/3[\s\S]*running/);
    writeManyApp(directory, 'three');
    const mended = await askedThroughout(platform, 'many', async () => {
      await cf('push', 'many', '-p', directory);
      await oldOnesGone(3);
    });
    assert.deepEqual(mended.failures, []);
    assert.equal((JSON.parse((await platform.ask('many')).body) as Answer).version, 'three');
  });

  test('a canary waits for its promotion step by step, and a cancelled one goes without a failed request', async () => {
    writeManyApp(directory, 'four');
    const cancelled = await askedThroughout(platform, 'many', async (soFar) => {
      const said = await cf('push', 'many', '-p', directory, '--strategy', 'canary');
      assert.match(said, /Active deployment with status PAUSED/);
      assert.match(said, /canary-steps:\s+1\/1/);
      await eventually('both serve', async () => {
        const answers = await Promise.all(Array.from({ length: 12 }, () => platform.ask('many')));
        return new Set(answers.map(({ body }) => (JSON.parse(body) as Answer).version)).size === 2;
      });
      await cf('cancel-deployment', 'many');
      const path = `/v3/deployments?app_guids=${await guid()}&order_by=-created_at`;
      await eventually('it is over', async () => (await curl(path)).resources[0].status.reason === 'CANCELED');
      const ofNew = answersOf('four', soFar);
      assert.ok(ofNew > 0);
      // By new connections and by those that were kept from before.
      const asked = soFar.requests;
      await eventually('many more requests', async () => soFar.requests > asked + 300);
      assert.equal(answersOf('four', soFar), ofNew, 'once it is over, the new version answers no more');
      await oldOnesGone(3);
    });
    assert.deepEqual(cancelled.failures, []);
    assert.equal((JSON.parse((await platform.ask('many')).body) as Answer).version, 'three');
    const stepped = await askedThroughout(platform, 'many', async () => {
      // The CLI knows steps, but asks for a newer API than is advertised.
      const [droplet] = (await curl(`/v3/apps/${await guid()}/droplets?order_by=-created_at&states=STAGED`)).resources;
      const order = {
        strategy: 'canary',
        droplet: { guid: droplet.guid },
        options: { canary: { steps: [{ instance_weight: 30 }, { instance_weight: 60 }] } },
        relationships: { app: { data: { guid: await guid() } } },
      };
      await curl('-X', 'POST', '/v3/deployments', '-d', JSON.stringify(order));
      await eventually('the first step', async () => /status PAUSED/.test(await cf('app', 'many')));
      assert.match(await cf('app', 'many'), /canary-steps:\s+1\/2/);
      await cf('continue-deployment', 'many');
      await eventually('the second step', async () =>
        /PAUSED[\s\S]*canary-steps:\s+2\/2/.test(await cf('app', 'many')),
      );
      await cf('continue-deployment', 'many');
      await oldOnesGone(3);
    });
    assert.deepEqual(stepped.failures, []);
    assert.equal((JSON.parse((await platform.ask('many')).body) as Answer).version, 'four');
  });

  test('a stopped app soon serves nobody; one that opts out of rolling restarts stops at once', async () => {
    await cf('stop', 'many');
    await eventually('nobody serves', async () => (await platform.ask('many')).status !== 200, 10_000);
    await cf('start', 'many');
    const path = `/v3/apps/${await guid()}/features/rolling-restarts`;
    await curl('-X', 'PATCH', path, '-d', '{"enabled": false}');
    await eventually('it serves', async () => (await platform.ask('many')).status === 200);
    const before = (JSON.parse((await platform.ask('many')).body) as Answer).guid;
    await cf('stop', 'many');
    await cf('start', 'many');
    const seen = new Set<string>();
    await eventually('new instances alone', async () => {
      const answer = await platform.ask('many');
      if (answer.status === 200) seen.add((JSON.parse(answer.body) as Answer).guid);
      return seen.size > 0;
    });
    assert.ok(!seen.has(before));
  });

  /** Waits until `count` instances serve and no other: each answer comes from one of the current version. */
  async function oldOnesGone(count: number): Promise<void> {
    await eventually(`${count} instances and no other`, async () => {
      const { resources } = await curl(`/v3/apps/${await guid()}/processes/web/stats`);
      const current = new Set(resources.map((one: { instance_guid: string }) => one.instance_guid));
      if (current.size !== count) return false;
      const answers = await Promise.all(Array.from({ length: 4 * count }, () => platform.ask('many')));
      return answers.every(({ body }) => current.has((JSON.parse(body) as Answer).guid));
    });
  }
});

interface CachedEnvelope {
  tags: Record<string, string>;
  gauge?: object;
}

/** What the log cache has of an app since a time (milliseconds). */
async function envelopesOf(
  platform: TestPlatform,
  { app, token, since }: { app: string; token: string; since: number },
): Promise<CachedEnvelope[]> {
  const path = `/api/v1/read/${app}?start_time=${BigInt(since) * 1_000_000n}&limit=1000`;
  const { status, body } = await platform.request('log-cache', { path, token });
  assert.equal(status, 200, body);
  return JSON.parse(body).envelopes.batch;
}
