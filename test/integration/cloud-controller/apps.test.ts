import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { ActualLrpSchema } from '../../../src/contracts/gen/diego_pb.js';
import { Logger } from '../../../src/kit/log.ts';
import {
  eventually,
  grant,
  newApp,
  newSpace,
  runningApp,
  stage,
  startTestFoundation,
  type TestFoundation,
  upload,
  yaml,
} from '../../support/apps.ts';
import { zipOf } from '../../support/zips.ts';

const SECRET = 'planted-5ecret-value';

describe('apps', () => {
  let f: TestFoundation;
  const logged: string[] = [];
  before(async () => {
    f = await startTestFoundation(new Logger('test', {}, (line) => logged.push(line), 'debug'));
  });
  after(() => f.close());

  it('names are unique in a space, in the words the CLI looks for', async () => {
    await newApp(f, 'twice');
    const relationships = { space: { data: { guid: f.space } } };
    const again = await f.developer.post('/v3/apps', { name: 'TWICE', relationships });
    assert.deepEqual(
      [again.status, again.body.errors[0].code, again.body.errors[0].detail],
      [422, 10016, "App with the name 'TWICE' already exists."],
    );
  });

  it('RBAC-02: who has no role in the space finds no app, and an auditor reads and changes nothing', async () => {
    const { cc, organization, space } = f;
    const app = await newApp(f, 'guarded');
    const stranger = await cc.person('stranger');
    const auditor = await cc.person('auditor');
    await grant(cc, auditor, 'space_auditor', organization, space);
    for (const path of ['', '/env', '/environment_variables', '/processes', '/packages', '/manifest', '/droplets']) {
      const reply = await stranger.get(`/v3/apps/${app}${path}`);
      assert.deepEqual([reply.status, reply.body.errors[0].detail], [404, 'App not found'], path);
    }
    assert.equal((await stranger.get('/v3/apps')).body.pagination.total_results, 0);
    assert.equal((await stranger.get('/v3/processes')).body.pagination.total_results, 0);
    const relationships = { app: { data: { guid: app } } };
    assert.equal((await stranger.post('/v3/packages', { type: 'bits', relationships })).status, 422);
    assert.equal((await auditor.get(`/v3/apps/${app}`)).status, 200);
    assert.equal((await auditor.get(`/v3/apps/${app}/environment_variables`)).status, 403);
    assert.equal((await auditor.get(`/v3/apps/${app}/manifest`)).status, 403);
    assert.equal((await auditor.patch(`/v3/apps/${app}`, { name: 'mine' })).status, 403);
    assert.equal((await auditor.post(`/v3/apps/${app}/actions/stop`)).status, 403);
    assert.equal((await auditor.delete(`/v3/apps/${app}`)).status, 403);
    assert.equal((await auditor.post('/v3/packages', { type: 'bits', relationships })).status, 403);
    const permissions = (await auditor.get(`/v3/apps/${app}/permissions`)).body;
    assert.deepEqual(permissions, { read_basic_data: true, read_sensitive_data: false });
  });

  it('an app of another space cannot be given this droplet, package or mapping', async () => {
    const { cc, developer, organization } = f;
    const mine = await newApp(f, 'mine');
    const other = await newSpace(cc, organization, 'other');
    await grant(cc, developer, 'space_auditor', organization, other);
    const theirs = (
      await cc.admin.post('/v3/apps', { name: 'theirs', relationships: { space: { data: { guid: other } } } })
    ).body.guid;
    const droplet = await stage(f, mine);
    const reply = await cc.admin.patch(`/v3/apps/${theirs}/relationships/current_droplet`, { data: { guid: droplet } });
    assert.equal(reply.status, 422);
    assert.equal((await developer.post('/v3/builds', { package: { guid: theirs } })).status, 422);
  });

  it('CC-02, SECURITY 28: a variable is in no event, log line, job or column', async () => {
    const { cc, developer, lines, space } = f;
    const app = await newApp(f, 'secretive', { environment_variables: { A: SECRET } });
    await developer.patch(`/v3/apps/${app}/environment_variables`, { var: { B: `${SECRET}2`, A: null } });
    const manifest = `applications: [{name: secretive, env: {C: ${SECRET}3}, command: "run ${SECRET}4"}]`;
    const path = `/v3/spaces/${space}/actions/apply_manifest`;
    await developer.finished(await developer.request('POST', path, manifest, yaml));
    assert.deepEqual((await developer.get(`/v3/apps/${app}/environment_variables`)).body.var, {
      B: `${SECRET}2`,
      C: `${SECRET}3`,
    });
    const droplet = await stage(f, app);
    await developer.patch(`/v3/apps/${app}/relationships/current_droplet`, { data: { guid: droplet } });
    await developer.post(`/v3/apps/${app}/tasks`, { command: `task ${SECRET}` });
    const refused = await developer.patch(`/v3/apps/${app}/environment_variables`, { var: { VCAP_X: SECRET } });
    assert.equal(refused.status, 422);
    assert.ok(!JSON.stringify(refused.body).includes(SECRET));
    for (const table of ['audit_events', 'jobs', 'apps', 'tasks', 'builds'] as const) {
      const { rows } = await sql<{ text: string }>`SELECT t::text AS text FROM ${sql.table(table)} AS t`.execute(cc.db);
      assert.ok(rows.length > 0, table);
      assert.ok(!rows.some((row) => row.text.includes(SECRET)), `${table} holds the secret`);
      const hex = Buffer.from(SECRET).toString('hex');
      assert.ok(!rows.some((row) => row.text.includes(hex)), `${table} holds the secret's bytes`);
    }
    assert.ok(!logged.join('').includes(SECRET));
    const payloads = lines.map((line) => (line.message.case === 'log' ? Buffer.from(line.message.value.payload) : ''));
    assert.ok(!payloads.join('').includes(SECRET));
    assert.ok(payloads.join('').includes(`Created app with guid ${app}`));
    const types = (await cc.admin.get(`/v3/audit_events?target_guids=${app}&per_page=100`)).body.resources.map(
      (event: { type: string }) => event.type,
    );
    for (const type of ['create', 'update', 'apply_manifest', 'environment_variables.show', 'build.create']) {
      assert.ok(types.includes(`audit.app.${type}`), `${type} of ${types}`);
    }
  });

  it('health checks and commands are set, and refused where they make no sense', async () => {
    const app = await newApp(f, 'healthy');
    const { developer } = f;
    const set = await developer.patch(`/v3/apps/${app}/processes/web`, {
      command: 'run',
      health_check: { type: 'http', data: { endpoint: '/up', timeout: 90 } },
    });
    assert.deepEqual(set.body.health_check, {
      type: 'http',
      data: { timeout: 90, invocation_timeout: null, interval: null, endpoint: '/up' },
    });
    const list = (await developer.get(`/v3/apps/${app}/processes`)).body.resources;
    assert.equal(list[0].command, '[PRIVATE DATA HIDDEN IN LISTS]');
    const port = await developer.patch(`/v3/processes/${app}`, { health_check: { type: 'port' } });
    assert.equal(port.body.health_check.type, 'port');
    const wrong = await developer.patch(`/v3/processes/${app}`, {
      health_check: { type: 'process', data: { endpoint: '/up' } },
    });
    assert.equal(wrong.status, 422);
    assert.equal((await developer.patch(`/v3/processes/${app}`, { health_check: { type: 'guess' } })).status, 422);
  });

  it('SECURITY 30: scaling at once never exceeds the quota', async () => {
    const { cc, developer } = f;
    const apps = [await runningApp(f, 'greedy-1'), await runningApp(f, 'greedy-2'), await runningApp(f, 'greedy-3')];
    const quota = '/v3/organization_quotas/00000000-0000-4000-8000-000000000001';
    const used = (await cc.admin.get(`/v3/organizations/${f.organization}/usage_summary`)).body.usage_summary;
    await cc.admin.patch(quota, { apps: { total_memory_in_mb: used.memory_in_mb + 5 * 256 } });
    const replies = await Promise.all(
      [1, 2, 3, 4].flatMap((more) =>
        apps.map((app) => developer.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances: 1 + more })),
      ),
    );
    assert.ok(replies.some((reply) => reply.status === 422));
    assert.ok(replies.some((reply) => reply.status === 202));
    const after = (await cc.admin.get(`/v3/organizations/${f.organization}/usage_summary`)).body.usage_summary;
    assert.ok(after.memory_in_mb <= used.memory_in_mb + 5 * 256, `${after.memory_in_mb}`);
    await cc.admin.patch(quota, { apps: { total_memory_in_mb: null } });
  });

  it('a rolling deployment starts the new instances before the old ones stop', async () => {
    const { developer, bbs } = f;
    const app = await runningApp(f, 'rolling');
    await developer.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances: 2 });
    const old = (await developer.get(`/v3/apps/${app}/processes/web`)).body;
    const droplet = await stage(f, app);
    const made = await developer.post('/v3/deployments', {
      droplet: { guid: droplet },
      strategy: 'rolling',
      relationships: { app: { data: { guid: app } } },
    });
    assert.deepEqual([made.status, made.body.status.value, made.body.status.reason], [201, 'ACTIVE', 'DEPLOYING']);
    const next = (await developer.get(`/v3/processes/${made.body.new_processes[0].guid}`)).body;
    const lrp = `${next.guid}-${next.version}`;
    await eventually(() => bbs.lrps.get(lrp)?.instances === 1);
    assert.equal(bbs.lrps.get(`${old.guid}-${old.version}`)?.instances, 2, 'the old ones all run');
    const running = (index: number) =>
      create(ActualLrpSchema, { processGuid: lrp, index, state: 'RUNNING', instanceGuid: `${index}`, sinceNs: 1n });
    bbs.actual = [running(0), running(1)];
    const done = await eventually(async () => {
      const { body } = await developer.get(`/v3/deployments/${made.body.guid}`);
      return body.status.value === 'FINALIZED' ? body : null;
    });
    assert.equal(done.status.reason, 'DEPLOYED');
    await eventually(() => !bbs.lrps.has(`${old.guid}-${old.version}`));
    assert.equal(bbs.lrps.get(lrp)?.instances, 2);
    bbs.actual = [];

    const second = await developer.post('/v3/deployments', { relationships: { app: { data: { guid: app } } } });
    await developer.post(`/v3/deployments/${second.body.guid}/actions/cancel`);
    const cancelled = await eventually(async () => {
      const { body } = await developer.get(`/v3/deployments/${second.body.guid}`);
      return body.status.value === 'FINALIZED' ? body : null;
    });
    assert.equal(cancelled.status.reason, 'CANCELED');
    assert.equal((await developer.get(`/v3/apps/${app}/processes/web`)).body.guid, next.guid);
  });

  it('a task is handed to Diego, cancelled and ended', async () => {
    const { developer, bbs, internal } = f;
    const app = await runningApp(f, 'tasks');
    const task = (await developer.post(`/v3/apps/${app}/tasks`, { command: 'rake db', name: 'migrate' })).body;
    assert.deepEqual([task.state, task.sequence_id, task.command], ['PENDING', 1, 'rake db']);
    const there = await eventually(() => bbs.tasks.get(task.guid));
    assert.ok(there.work.case === 'command');
    assert.equal(there.work.value.command, 'rake db');
    await developer.post(`/v3/tasks/${task.guid}/actions/cancel`);
    await eventually(() => bbs.cancelled.includes(task.guid));
    const failure = { taskGuid: task.guid, domain: 'cf-tasks', failed: true, failureReason: 'task was cancelled' };
    await internal.taskCompleted(failed(failure));
    const ended = (await developer.get(`/v3/tasks/${task.guid}`)).body;
    assert.deepEqual([ended.state, ended.result.failure_reason], ['FAILED', 'task was cancelled']);
  });

  it('an operator manages buildpacks; their places move', async () => {
    const { cc, developer } = f;
    assert.equal((await developer.post('/v3/buildpacks', { name: 'x' })).status, 403);
    const made = await cc.admin.post('/v3/buildpacks/', { name: 'ruby_buildpack', stack: 'debian12', position: 1 });
    assert.deepEqual([made.status, made.body.state, made.body.position], [201, 'AWAITING_UPLOAD', 1]);
    const url = `${cc.url}/v3/buildpacks/${made.body.guid}/upload`;
    const climbing = await upload(cc.admin, url, { bits: await zipOf([{ path: '../x', body: '1' }]) });
    assert.equal(climbing.body.errors[0].title, 'CF-BuildpackBitsUploadInvalid');
    const bits = await zipOf([{ path: 'bin/detect', body: '1' }]);
    const reply = await upload(cc.admin, url, { bits, name: 'ruby_buildpack-v1.zip' });
    assert.equal((await cc.admin.finished(reply)).body.state, 'COMPLETE');
    const list = (await developer.get('/v3/buildpacks')).body.resources;
    assert.deepEqual(
      list.map((item: { name: string; position: number; state: string }) => [item.name, item.position, item.state]),
      [
        ['ruby_buildpack', 1, 'READY'],
        ['nodejs_buildpack', 2, 'READY'],
      ],
    );
    await cc.admin.finished(await cc.admin.delete(`/v3/buildpacks/${made.body.guid}`));
    assert.deepEqual((await developer.get('/v3/stacks')).body.resources[0].name, 'debian12');
  });

  it('logs are for those who see the app, with a token that is good', async () => {
    const { cc, developer, internal, organization } = f;
    const app = await newApp(f, 'logs');
    const stranger = await cc.person('nobody');
    const billing = await cc.person('billing');
    await grant(cc, billing, 'organization_billing_manager', organization);
    const allowed = async (accessToken: string) => (await internal.logAccess({ accessToken, sourceId: app })).allowed;
    assert.equal(await allowed(developer.token), true);
    assert.equal(await allowed(cc.admin.token), true);
    assert.equal(await allowed(stranger.token), false);
    assert.equal(await allowed(billing.token), false);
    assert.equal(await allowed(`${developer.token.slice(0, -4)}AAAA`), false);
    assert.equal(await allowed(''), false);
    assert.equal((await internal.logAccess({ accessToken: cc.admin.token, sourceId: 'doppler' })).allowed, false);
  });

  it('a crash becomes an event', async () => {
    const { cc, internal } = f;
    const app = await runningApp(f, 'crashing');
    const process = (await cc.admin.get(`/v3/apps/${app}/processes/web`)).body;
    const crash = { index: 1, instanceGuid: 'i', cellId: 'cell-1', reason: 'exited with 1', crashCount: 2 };
    await internal.lrpCrashed({ processGuid: `${process.guid}-${process.version}`, ...crash });
    const events = (await cc.admin.get(`/v3/audit_events?target_guids=${app}&types=app.crash`)).body.resources;
    assert.deepEqual([events[0].data.index, events[0].data.exit_description], [1, 'exited with 1']);
  });

  it('the manifest of an app can be applied again and changes nothing', async () => {
    const { developer, space, cc } = f;
    const app = await runningApp(f, 'round');
    const response = await fetch(`${cc.url}/v3/apps/${app}/manifest`, {
      headers: { authorization: `bearer ${developer.token}` },
    });
    assert.equal(response.headers.get('content-type'), 'application/x-yaml');
    const text = await response.text();
    const diff = await developer.request('POST', `/v3/spaces/${space}/manifest_diff`, text, yaml);
    assert.deepEqual(diff.body.diff, []);
    const path = `/v3/spaces/${space}/actions/apply_manifest`;
    const job = await developer.finished(await developer.request('POST', path, text, yaml));
    assert.deepEqual(job.body.errors, []);
  });

  it('a route a manifest cannot have fails the job with the app named', async () => {
    const { developer, space } = f;
    const path = `/v3/spaces/${space}/actions/apply_manifest`;
    for (const [route, reason] of [
      ['api.test.example', /For application 'bad-route': .*reserved/],
      ['x.unknown.example', /did not match any existing domains/],
    ] as const) {
      const text = `applications: [{name: bad-route, routes: [{route: ${route}}]}]`;
      const job = await developer.finished(await developer.request('POST', path, text, yaml));
      assert.equal(job.body.state, 'FAILED');
      assert.match(job.body.errors[0].detail, reason);
    }
  });

  const failed = <T extends object>(completion: T) => ({ ...completion, failed: true, result: '' });
});
