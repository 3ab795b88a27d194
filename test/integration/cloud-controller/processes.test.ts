import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  eventually,
  grant,
  newApp,
  runningApp,
  stage,
  startTestFoundation,
  type TestFoundation,
} from '../../support/apps.ts';

describe('sidecars, readiness and what tasks may use', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
  });
  after(() => f.close());

  const sidecar = (more: object = {}) => ({ name: 'proxy', command: './proxy', process_types: ['web'], ...more });

  it('a sidecar is made, listed, changed and deleted, and runs beside the processes it names', async () => {
    const { developer, bbs } = f;
    const app = await runningApp(f, 'beside');
    const made = await developer.post(`/v3/apps/${app}/sidecars`, sidecar({ memory_in_mb: 64 }));
    assert.equal(made.status, 201);
    assert.deepEqual(
      [made.body.name, made.body.process_types, made.body.memory_in_mb, made.body.origin],
      ['proxy', ['web'], 64, 'user'],
    );
    const again = await developer.post(`/v3/apps/${app}/sidecars`, sidecar());
    assert.equal(again.body.errors[0].detail, "Sidecar with name 'proxy' already exists for given app");
    assert.equal((await developer.get(`/v3/sidecars/${made.body.guid}`)).body.command, './proxy');
    const processes = (await developer.get(`/v3/apps/${app}/processes`)).body.resources;
    const counts = await Promise.all(
      ['web', 'worker'].map(async (type) => {
        const { guid } = processes.find((process: { type: string }) => process.type === type);
        return (await developer.get(`/v3/processes/${guid}/sidecars`)).body.resources.length;
      }),
    );
    assert.deepEqual(counts, [1, 0]);
    await developer.post(`/v3/apps/${app}/actions/restart`);
    const { guid, version } = (await developer.get(`/v3/apps/${app}/processes/web`)).body;
    const lrp = await eventually(() => bbs.lrps.get(`${guid}-${version}`));
    assert.deepEqual(
      lrp.sidecars.map(({ name, command, memoryMb }) => [name, command, memoryMb]),
      [['proxy', './proxy', 64]],
    );
    const path = `/v3/sidecars/${made.body.guid}`;
    const changed = await developer.patch(path, { command: './other', memory_in_mb: null, process_types: ['worker'] });
    assert.deepEqual([changed.body.command, changed.body.memory_in_mb], ['./other', null]);
    assert.equal((await developer.patch(path, { nonsense: 1 })).status, 422);
    assert.equal((await developer.request('DELETE', path)).status, 204);
    assert.equal((await developer.get(path)).status, 404);
  });

  it('sidecars of a droplet come and go with it, and a person’s of the same name is not overwritten', async () => {
    const { developer } = f;
    const app = await runningApp(f, 'supplied');
    const assign = async (sidecars: object[]) =>
      developer.patch(`/v3/apps/${app}/relationships/current_droplet`, {
        data: { guid: await stage(f, app, sidecars) },
      });
    const agent = { name: 'agent', command: './agent', process_types: ['web'], memory_in_mb: 16 };
    const listed = async () =>
      (await developer.get(`/v3/apps/${app}/sidecars`)).body.resources.map(
        ({ name, origin }: { name: string; origin: string }) => [name, origin],
      );
    assert.equal((await assign([agent, { name: 'no command' }])).status, 200);
    assert.deepEqual(await listed(), [['agent', 'buildpack']]);
    await assign([]);
    assert.deepEqual(await listed(), []);
    await developer.post(`/v3/apps/${app}/sidecars`, sidecar({ name: 'agent' }));
    const refused = await assign([agent]);
    assert.match(refused.body.errors[0].detail, /Buildpack defined sidecar 'agent' conflicts/);
    assert.deepEqual(await listed(), [['agent', 'user']]);
  });

  it('sidecars leave memory for their process, whichever of the two is changed', async () => {
    const { developer } = f;
    const app = await runningApp(f, 'narrow');
    const scale = (memory: number) =>
      developer.post(`/v3/apps/${app}/processes/web/actions/scale`, { memory_in_mb: memory });
    await scale(128);
    const words = 'The memory allocation defined is too large to run with the dependent "web" process';
    const refused = await developer.post(`/v3/apps/${app}/sidecars`, sidecar({ memory_in_mb: 128 }));
    assert.deepEqual([refused.status, refused.body.errors[0].detail], [422, words]);
    const made = await developer.post(`/v3/apps/${app}/sidecars`, sidecar({ memory_in_mb: 100 }));
    const second = await developer.post(`/v3/apps/${app}/sidecars`, sidecar({ name: 'b', memory_in_mb: 28 }));
    assert.equal(second.status, 422);
    assert.equal((await developer.patch(`/v3/sidecars/${made.body.guid}`, { memory_in_mb: 128 })).status, 422);
    assert.equal((await scale(100)).body.errors[0].detail, words);
    assert.equal((await developer.get(`/v3/apps/${app}/processes/web`)).body.memory_in_mb, 128);
  });

  it('RBAC-02: sidecars are seen by those who see the app, and changed by its developers', async () => {
    const { cc, developer } = f;
    const app = await newApp(f, 'guarded');
    const { guid } = (await developer.post(`/v3/apps/${app}/sidecars`, sidecar())).body;
    const [auditor, stranger] = [await cc.person('auditor'), await cc.person('stranger')];
    await grant(cc, auditor, 'space_auditor', f.organization, f.space);
    assert.equal((await auditor.get(`/v3/sidecars/${guid}`)).status, 200);
    assert.equal((await auditor.patch(`/v3/sidecars/${guid}`, { command: 'evil' })).status, 403);
    assert.equal((await auditor.request('DELETE', `/v3/sidecars/${guid}`)).status, 403);
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const body = method === 'PATCH' ? { command: 'evil' } : undefined;
      assert.equal((await stranger.request(method, `/v3/sidecars/${guid}`, body)).status, 404, method);
    }
    assert.equal((await stranger.post(`/v3/apps/${app}/sidecars`, sidecar())).status, 404);
  });

  it('a readiness check reaches Diego, and each change of readiness becomes an event', async () => {
    const { developer, bbs, internal, cc } = f;
    const app = await runningApp(f, 'readying');
    const check = { type: 'http', data: { endpoint: '/ready', interval: 5, invocation_timeout: 2 } };
    const changed = await developer.patch(`/v3/apps/${app}/processes/web`, { readiness_health_check: check });
    assert.equal(changed.status, 200);
    await developer.post(`/v3/apps/${app}/actions/restart`);
    const { guid, version } = (await developer.get(`/v3/apps/${app}/processes/web`)).body;
    const lrp = await eventually(() => bbs.lrps.get(`${guid}-${version}`));
    const sent = lrp.readinessHealthCheck!;
    assert.deepEqual(
      [sent.type, sent.httpEndpoint, sent.intervalSeconds, sent.invocationTimeoutSeconds],
      ['http', '/ready', 5, 2],
    );
    const instance = { processGuid: lrp.processGuid, index: 1, instanceGuid: 'i', cellId: 'cell-1' };
    await internal.lrpReadinessChanged({ ...instance, ready: false });
    await internal.lrpReadinessChanged({ ...instance, ready: true });
    const types = 'audit.app.process.ready,audit.app.process.not-ready';
    const events = (await cc.admin.get(`/v3/audit_events?target_guids=${app}&types=${types}`)).body.resources;
    assert.deepEqual(
      events.map(({ type, data }: { type: string; data: { index: number } }) => [type, data.index]),
      [
        ['audit.app.process.not-ready', 1],
        ['audit.app.process.ready', 1],
      ],
    );
  });

  it('a task keeps the droplet it was made for, and its limits reach Diego', async () => {
    const { developer, bbs, blobs } = f;
    const app = await runningApp(f, 'tasking');
    const droplet = (await developer.get(`/v3/apps/${app}/droplets/current`)).body.guid;
    const newer = await stage(f, app);
    await developer.patch(`/v3/apps/${app}/relationships/current_droplet`, { data: { guid: newer } });
    const body = { command: 'rake', name: 'old', droplet_guid: droplet, memory_in_mb: 32, disk_in_mb: 64 };
    const limits = { log_rate_limit_in_bytes_per_second: 2048 };
    const task = (await developer.post(`/v3/apps/${app}/tasks`, { ...body, ...limits })).body;
    const there = await eventually(() => bbs.tasks.get(task.guid));
    assert.deepEqual([there.memoryMb, there.diskMb, there.logRateLimitBytesPerSecond], [32, 64, 2048]);
    assert.equal(there.owner?.processType, 'old');
    assert.ok(there.work.case === 'command' && blobs.held.has(`droplets/${droplet}`));
    assert.match(there.work.value.droplet!.url, new RegExp(droplet));
  });

  it('a quota on log rates holds for processes and tasks together', async () => {
    const { developer, cc, organization } = f;
    const app = await runningApp(f, 'loud');
    const space = { data: [{ guid: f.space }] };
    const relationships = { organization: { data: { guid: organization } }, spaces: space };
    for (const process of (await developer.get('/v3/processes')).body.resources) {
      await developer.post(`/v3/processes/${process.guid}/actions/scale`, { log_rate_limit_in_bytes_per_second: 10 });
    }
    const quota = { name: 'quiet', apps: { log_rate_limit_in_bytes_per_second: 6000 }, relationships };
    assert.equal((await cc.admin.post('/v3/space_quotas', quota)).status, 201);
    const run = (rate?: number) =>
      developer.post(`/v3/apps/${app}/tasks`, {
        command: 'true',
        ...(rate === undefined ? {} : { log_rate_limit_in_bytes_per_second: rate }),
      });
    assert.match((await run()).body.errors[0].detail, /Log rate limit cannot be unlimited in space 'dev'/);
    assert.match((await run(8192)).body.errors[0].detail, /Log rate quota exceeded for space 'dev'/);
    assert.equal((await run(2048)).status, 202);
    assert.equal((await run(2048)).status, 422, 'what is left is what processes and the other task do not use');
  });
});
