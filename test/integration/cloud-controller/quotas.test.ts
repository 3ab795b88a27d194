import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import type { Trx } from '../../../src/cloud-controller/database.ts';
import type { Guid } from '../../../src/cloud-controller/guid.ts';
import { ActualLrpSchema } from '../../../src/contracts/gen/diego_pb.js';
import {
  eventually,
  grant,
  newPackage,
  newSpace,
  runningApp,
  startTestFoundation,
  type TestFoundation,
  yaml,
} from '../../support/apps.ts';
import { guidsOf } from '../../support/cloud-controller.ts';
import { whileHeld } from '../../support/held.ts';

describe('quotas over sequences of changes', () => {
  let whole: TestFoundation;
  before(async () => {
    whole = await startTestFoundation();
  });
  after(() => whole.close());
  afterEach(() => {
    whole.bbs.actual = [];
  });

  /** An organization with a space and a quota of its own, its developer, and what it uses. */
  async function organizationWith(apps: object) {
    const { cc, developer } = whole;
    const name = `org-${crypto.randomUUID()}`;
    const organization: Guid<'organization'> = (await cc.admin.post('/v3/organizations', { name })).body.guid;
    const space = await newSpace(cc, organization, 'dev');
    await grant(cc, developer, 'space_developer', organization, space);
    const relationships = { organizations: { data: [{ guid: organization }] } };
    const quota: string = (await cc.admin.post('/v3/organization_quotas', { name, relationships })).body.guid;
    const set = (limits: object) => cc.admin.patch(`/v3/organization_quotas/${quota}`, { apps: limits });
    const f = { ...whole, organization, space };
    const usage = async () =>
      (await cc.admin.get(`/v3/organizations/${organization}/usage_summary`)).body.usage_summary;
    /** A started app of this size. */
    const running = async (instances: number, memory: number): Promise<string> => {
      const app = await runningApp(f, `app-${crypto.randomUUID()}`);
      await scale(app, { instances, memory_in_mb: memory });
      return app;
    };
    /** The same with a route, so that its versions overlap; its instances run. */
    const served = async (instances: number, memory: number) => {
      const app = await running(instances, memory);
      const [domain] = (await developer.get('/v3/domains')).body.resources;
      const place = { space: { data: { guid: space } }, domain: { data: { guid: domain.guid } } };
      const route = (await developer.post('/v3/routes', { host: app, relationships: place })).body;
      await developer.post(`/v3/routes/${route.guid}/destinations`, { destinations: [{ app: { guid: app } }] });
      const lrp = await lrpOf(app);
      await eventually(() => whole.bbs.lrps.get(lrp)?.instances === instances);
      runs(lrp, instances);
      return { app, lrp };
    };
    await set(apps);
    return { f, set, usage, running, served };
  }

  const scale = (app: string, to: object) => whole.developer.post(`/v3/apps/${app}/processes/web/actions/scale`, to);
  const act = (app: string, action: string) => whole.developer.post(`/v3/apps/${app}/actions/${action}`);
  const deploy = (app: string, more: object) =>
    whole.developer.post('/v3/deployments', { relationships: { app: { data: { guid: app } } }, ...more });
  const statusOf = async (deployment: string) =>
    (await whole.developer.get(`/v3/deployments/${deployment}`)).body.status;
  const detail = ({ body }: { body: { errors: { detail: string }[] } }): string => body.errors[0]!.detail;
  const instancesOf = (lrp: string): number => whole.bbs.lrps.get(lrp)?.instances ?? 0;
  const lrpOf = async (app: string): Promise<string> => {
    const { guid, version } = (await whole.developer.get(`/v3/apps/${app}/processes/web`)).body;
    return `${guid}-${version}`;
  };

  function runs(processGuid: string, count: number): void {
    whole.bbs.actual = [
      ...whole.bbs.actual.filter((lrp) => lrp.processGuid !== processGuid),
      ...Array.from({ length: count }, (_, index) =>
        create(ActualLrpSchema, { processGuid, index, state: 'RUNNING', instanceGuid: `${processGuid}/${index}` }),
      ),
    ];
  }

  /** All that the platform asks Diego for runs, from now on. */
  async function whateverIsDesiredRuns(until: () => Promise<boolean>): Promise<void> {
    for (let round = 0; round < 40; round += 1) {
      for (const [guid, { instances }] of whole.bbs.lrps) runs(guid, instances);
      if (await until()) return;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    throw new Error('it did not come about');
  }

  /** A second app of this memory, that could be started. */
  async function another(f: TestFoundation, memory: number): Promise<string> {
    const app = await runningApp(f, `other-${crypto.randomUUID()}`);
    await act(app, 'stop');
    await scale(app, { instances: 1, memory_in_mb: memory });
    return app;
  }

  it('SECURITY 30: a deployment to more instances than a quota allows is refused as scaling is', async () => {
    const { running, set, usage } = await organizationWith({});
    const app = await running(1, 40);
    await set({ total_instances: 3, total_memory_in_mb: 128 });
    assert.match(detail(await scale(app, { instances: 6 })), /quota exceeded/);
    for (const options of [{ web_instances: 6 }, { web_instances: 6, max_in_flight: 6 }, { memory_in_mb: 100 }]) {
      for (const strategy of ['rolling', 'canary']) {
        const reply = await deploy(app, { options, strategy });
        assert.equal(reply.status, 422, JSON.stringify([options, strategy]));
        assert.match(detail(reply), /quota exceeded/);
      }
    }
    assert.equal((await deploy(app, { options: { web_instances: 6 }, strategy: 'recreate' })).status, 422);
    assert.deepEqual([(await usage()).started_instances, (await usage()).memory_in_mb], [1, 40]);
  });

  it('SECURITY 30: what a cancelled deployment gives back is kept for it meanwhile', async () => {
    const { f, running, set, usage } = await organizationWith({});
    const other = await another(f, 100);
    const app = await running(2, 60);
    await set({ total_memory_in_mb: 128 });
    const deployment = (await deploy(app, { strategy: 'recreate', options: { memory_in_mb: 4 } })).body.guid;
    assert.equal((await usage()).memory_in_mb, 120);
    assert.match(detail(await act(other, 'start')), /Memory quota exceeded for organization/);
    assert.equal((await whole.developer.post(`/v3/deployments/${deployment}/actions/cancel`)).status, 200);
    await eventually(async () => (await statusOf(deployment)).reason === 'CANCELED');
    assert.equal((await whole.developer.get(`/v3/apps/${app}/processes/web`)).body.instances, 2);
    assert.equal((await usage()).memory_in_mb, 120);
  });

  it('SECURITY 30: what a deployment that is superseded becomes was counted before', async () => {
    const { f, running, set, usage } = await organizationWith({});
    const other = await another(f, 100);
    const app = await running(2, 60);
    await set({ total_memory_in_mb: 128 });
    for (const next of ['stop', 'start', 'restart']) {
      const deployment = (await deploy(app, { strategy: 'recreate', options: { memory_in_mb: 4 } })).body.guid;
      if (next !== 'restart') assert.equal((await act(other, 'start')).status, 422);
      await whole.developer.post(`/v3/deployments/${deployment}/actions/cancel`);
      assert.equal((await act(app, next)).status, 200, next);
      if (next === 'stop') await act(app, 'start');
      assert.ok((await usage()).memory_in_mb <= 128, next);
      await whileDeploying(app);
      await scale(app, { instances: 2, memory_in_mb: 60 });
    }
  });

  /** Waits until no deployment of the app is under way. */
  const whileDeploying = (app: string) =>
    eventually(
      async () =>
        (await whole.developer.get(`/v3/deployments?app_guids=${app}&status_values=ACTIVE`)).body.resources.length ===
        0,
    );

  it('SECURITY 30: a version that serves until it is replaced is counted, and ends early where room is needed', async () => {
    const { running, served, set, usage } = await organizationWith({});
    const first = await served(1, 100);
    const others = [await running(1, 8), await running(1, 8)];
    await set({ total_memory_in_mb: 128 });
    // The new version never gets ready.
    await scale(first.app, { memory_in_mb: 8 });
    await eventually(() => whole.bbs.lrps.has(first.lrp));
    assert.equal((await usage()).memory_in_mb, 100 + 3 * 8);
    assert.equal((await scale(others[0]!, { memory_in_mb: 100 })).status, 202, 'it holds nobody up');
    await eventually(() => !whole.bbs.lrps.has(first.lrp));
    assert.equal((await usage()).memory_in_mb, 116);
  });

  it('SECURITY 30: a restart keeps as many old instances beside the new ones as the quota leaves room for', async () => {
    const { served, set, usage } = await organizationWith({});
    const { app, lrp } = await served(3, 40);
    await set({ total_memory_in_mb: 200 });
    assert.equal((await act(app, 'restart')).status, 200);
    await eventually(() => instancesOf(lrp) === 2);
    assert.deepEqual([(await usage()).started_instances, (await usage()).memory_in_mb], [5, 200]);
    await act(app, 'stop');
    await set({ total_instances: 4, total_memory_in_mb: null });
    await act(app, 'start');
    const next = await lrpOf(app);
    await eventually(() => instancesOf(next) === 3);
    runs(next, 3);
    await act(app, 'restart');
    await eventually(() => instancesOf(next) === 1);
    await set({ total_instances: 3 });
    await act(app, 'restart');
    await eventually(() => !whole.bbs.lrps.has(next) && !whole.bbs.lrps.has(lrp));
    assert.equal((await usage()).started_instances, 3);
  });

  it('SECURITY 30: a staging takes memory of the quota like a task, and gives it back', async () => {
    const { f, running, set, usage } = await organizationWith({});
    const app = await running(1, 40);
    const packageGuid = await newPackage(f, app);
    await set({ total_memory_in_mb: 128 });
    const build = (memory: number) =>
      whole.developer.post('/v3/builds', { package: { guid: packageGuid }, staging_memory_in_mb: memory });
    const task = (memory: number) =>
      whole.developer.post(`/v3/apps/${app}/tasks`, { command: 'true', memory_in_mb: memory });
    assert.match(detail(await task(4096)), /Memory quota exceeded/);
    assert.match(detail(await build(4096)), /Memory quota exceeded/);
    assert.equal((await usage()).memory_in_mb, 40);
    const { guid } = (await build(80)).body;
    assert.equal((await usage()).memory_in_mb, 120);
    assert.equal((await task(10)).status, 422);
    assert.equal((await scale(app, { instances: 2 })).status, 422);
    const { domain } = await eventually(() => whole.bbs.tasks.get(guid));
    const failureReason = 'StagingError: no';
    await whole.internal.taskCompleted({ taskGuid: guid, domain, failed: true, failureReason });
    assert.equal((await usage()).memory_in_mb, 40);
    assert.equal((await task(80)).status, 202);
    assert.equal((await build(80)).status, 422);
  });

  it('SECURITY 30: what instances run with counts until they are made anew, whatever a manifest or a scaling says', async () => {
    const { f, running, set, usage } = await organizationWith({});
    const app = await running(1, 100);
    const other = await another(f, 100);
    await set({ total_memory_in_mb: 128 });
    const { name } = (await whole.developer.get(`/v3/apps/${app}`)).body;
    const path = `/v3/spaces/${f.space}/actions/apply_manifest`;
    const lrp = await lrpOf(app);
    const manifest = `applications: [{name: ${name}, memory: 8M}]`;
    await whole.developer.finished(await whole.developer.request('POST', path, manifest, yaml));
    assert.equal((await whole.developer.get(`/v3/apps/${app}/processes/web`)).body.memory_in_mb, 8);
    assert.equal(await lrpOf(app), lrp, 'its instances go on');
    assert.equal((await usage()).memory_in_mb, 100);
    assert.equal((await act(other, 'start')).status, 422);
    assert.equal((await scale(app, { instances: 2 })).status, 422, 'another would run with as much');
    await act(app, 'restart');
    assert.equal((await usage()).memory_in_mb, 8);
    assert.equal((await act(other, 'start')).status, 200);
    await act(other, 'stop');
    // Log rates take effect when instances are made anew.
    await set({ total_memory_in_mb: null, log_rate_limit_in_bytes_per_second: 1_000 });
    await scale(app, { log_rate_limit_in_bytes_per_second: 900 });
    await scale(other, { log_rate_limit_in_bytes_per_second: 500 });
    assert.match(detail(await act(other, 'start')), /Log rate limit cannot be unlimited/);
    await act(app, 'restart');
    assert.match(detail(await act(other, 'start')), /Log rate quota exceeded/);
    await scale(app, { log_rate_limit_in_bytes_per_second: 100 });
    assert.match(detail(await act(other, 'start')), /Log rate quota exceeded/);
    await act(app, 'restart');
    assert.equal((await act(other, 'start')).status, 200);
  });

  it('SECURITY 30: the memory that one process may have holds for tasks', async () => {
    const { running, set } = await organizationWith({});
    const app = await running(1, 40);
    await set({ per_process_memory_in_mb: 64 });
    const task = (memory: number) =>
      whole.developer.post(`/v3/apps/${app}/tasks`, { command: 'true', memory_in_mb: memory });
    assert.match(detail(await task(65)), /allows for one instance/);
    assert.equal((await task(64)).status, 202);
  });

  it('QTA-01: a rolling deployment needs room for one instance more, and is done then', async () => {
    const { running, set, usage } = await organizationWith({});
    const app = await running(3, 40);
    await set({ total_instances: 3 });
    assert.match(detail(await deploy(app, {})), /App instance quota exceeded/);
    await set({ total_instances: 4, total_memory_in_mb: 160 });
    for (const strategy of ['rolling', 'canary']) {
      const deployment = (await deploy(app, { strategy })).body.guid;
      await whateverIsDesiredRuns(async () => {
        const { value, reason } = await statusOf(deployment);
        if (reason === 'PAUSED') await whole.developer.post(`/v3/deployments/${deployment}/actions/continue`);
        const { started_instances: instances, memory_in_mb: memory } = await usage();
        assert.ok(instances <= 4 && memory <= 160);
        return value === 'FINALIZED';
      });
      assert.equal((await statusOf(deployment)).reason, 'DEPLOYED');
      assert.deepEqual([(await usage()).started_instances, (await usage()).memory_in_mb], [3, 120]);
    }
  });

  it('QTA-01: with a full quota an app is restarted, scaled down, stopped, and a deployment is cancelled', async () => {
    const { running, served, set, usage } = await organizationWith({});
    const app = await running(3, 40);
    const { app: rolled } = await served(1, 10);
    const deployment = (await deploy(rolled, {})).body.guid;
    // Full, and then lowered below what is used: what takes away goes on working.
    for (const total of [140, 50]) {
      await set({ total_memory_in_mb: total });
      assert.equal((await act(app, 'restart')).status, 200);
      assert.equal((await scale(app, { instances: 4 })).status, 422);
      assert.equal((await scale(app, { instances: 2 })).status, 202);
      assert.equal((await act(app, 'stop')).status, 200);
      assert.equal((await act(app, 'start')).status, total === 140 ? 200 : 422);
      if (total === 140) await scale(app, { instances: 3 });
    }
    assert.equal((await whole.developer.post(`/v3/deployments/${deployment}/actions/cancel`)).status, 200);
    await eventually(async () => (await statusOf(deployment)).reason === 'CANCELED');
    await eventually(async () => (await usage()).memory_in_mb === 10);
  });

  it('SECURITY 30: a step of a deployment that finds no room waits, says so, and is taken later', async () => {
    const { f, running, set, usage } = await organizationWith({});
    const other = await another(f, 100);
    const app = await running(2, 60);
    await set({ total_memory_in_mb: 128 });
    const deployment = (await deploy(app, { strategy: 'recreate', options: { memory_in_mb: 4 } })).body.guid;
    // As one that the version before began.
    await sql`UPDATE deployments SET reserved_memory_mb = 0 WHERE guid = ${deployment}`.execute(whole.cc.db);
    assert.equal((await act(other, 'start')).status, 200);
    assert.equal((await whole.developer.post(`/v3/deployments/${deployment}/actions/cancel`)).status, 200);
    const { details } = await eventually(async () => {
      const status = await statusOf(deployment);
      return status.details.error ? status : null;
    });
    assert.match(details.error, /Memory quota exceeded for organization/);
    assert.equal((await usage()).memory_in_mb, 108);
    const lines = () =>
      whole.lines.filter(
        ({ sourceId, message }) =>
          sourceId === app &&
          message.case === 'log' &&
          /The deployment waits: Memory/.test(Buffer.from(message.value.payload).toString()),
      ).length;
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    assert.equal(lines(), 1, 'once, not with every try');
    await act(other, 'stop');
    await eventually(async () => (await statusOf(deployment)).reason === 'CANCELED');
    assert.equal((await statusOf(deployment)).details.error, undefined);
    assert.equal((await usage()).memory_in_mb, 120);
  });

  it('SECURITY 30: scaling at once never exceeds the quota', async () => {
    const { cc, developer } = whole;
    const apps: string[] = [];
    for (let count = 0; count < 8; count += 1) apps.push(await runningApp(whole, `greedy-${count}`));
    const quota = '/v3/organization_quotas/00000000-0000-4000-8000-000000000001';
    const usedMemory = async () =>
      (await cc.admin.get(`/v3/organizations/${whole.organization}/usage_summary`)).body.usage_summary.memory_in_mb;
    const used = await usedMemory();
    for (let round = 0; round < 3; round += 1) {
      const total = used + 5 * 256;
      await cc.admin.patch(quota, { apps: { total_memory_in_mb: total } });
      const scaled = (instances: number) =>
        apps.map((app) => developer.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances }));
      // Four more instances of one app fit, of two they do not.
      const statuses = (await Promise.all(scaled(5))).map(({ status }) => status);
      assert.deepEqual(statuses.sort(), [202, ...Array(7).fill(422)]);
      assert.equal(await usedMemory(), used + 4 * 256);
      await Promise.all(scaled(1));
    }
    await cc.admin.patch(quota, { apps: { total_memory_in_mb: null } });
  });

  it('a space quota is there for those in a space it is applied to, and tells of no other space (RBAC-02)', async () => {
    const { cc, developer, organization, space } = whole;
    const other = await newSpace(cc, organization, 'beside');
    const relationships = { organization: { data: { guid: organization } }, spaces: { data: [{ guid: space }] } };
    const quota = (await cc.admin.post('/v3/space_quotas', { name: 'of-two', relationships })).body.guid;
    const path = `/v3/space_quotas/${quota}`;
    await cc.admin.post(`${path}/relationships/spaces`, { data: [{ guid: other }] });
    const applied = (await developer.get(path)).body.relationships.spaces.data;
    assert.deepEqual(applied, [{ guid: space }]);
    assert.deepEqual(guidsOf(await developer.get(`/v3/space_quotas?space_guids=${space}`)), [quota]);
    assert.deepEqual(guidsOf(await developer.get(`/v3/space_quotas?space_guids=${other}`)), []);
    assert.deepEqual(guidsOf(await cc.admin.get(`/v3/space_quotas?space_guids=${other}`)), [quota]);
    assert.equal((await developer.patch(path, { name: 'mine' })).status, 403);
    assert.equal((await cc.admin.delete(`${path}/relationships/spaces/${space}`)).status, 204);
    assert.equal((await developer.get(path)).status, 404);
    assert.equal((await developer.patch(path, { name: 'mine' })).status, 404);
    assert.deepEqual(guidsOf(await developer.get('/v3/space_quotas')), []);
  });

  it('a quota that is applied meanwhile is not deleted', async () => {
    const { cc } = whole;
    const { f } = await organizationWith({});
    const relationships = { organization: { data: { guid: f.organization } } };
    for (const [quotas, table, column, place, more] of [
      ['organization_quotas', 'organizations', 'quota_guid', f.organization, {}],
      ['space_quotas', 'spaces', 'space_quota_guid', f.space, { relationships }],
    ] as const) {
      const quota = (await cc.admin.post(`/v3/${quotas}`, { name: 'applied meanwhile', ...more })).body.guid;
      const applying = (trx: Trx) =>
        sql`UPDATE ${sql.table(table)} SET ${sql.ref(column)} = ${quota} WHERE guid = ${place}`.execute(trx);
      const deleted = async () => cc.admin.finished(await cc.admin.delete(`/v3/${quotas}/${quota}`));
      const job = await whileHeld(cc.db, applying, deleted);
      assert.match(job.body.errors[0]?.detail ?? '', /^This quota is applied to one or more/, quotas);
      assert.equal((await cc.admin.get(`/v3/${quotas}/${quota}`)).status, 200, quotas);
    }
  });
});
