import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { lockApp } from '../../../src/cloud-controller/apps/store.ts';
import type { Trx } from '../../../src/cloud-controller/database.ts';
import { type Guid, guid } from '../../../src/cloud-controller/guid.ts';
import { lockQuotas } from '../../../src/cloud-controller/quotas/enforce.ts';
import { ActualLrpSchema } from '../../../src/contracts/gen/diego_pb.js';
import {
  eventually,
  grant,
  newSpace,
  runningApp,
  stage,
  startTestFoundation,
  type TestFoundation,
} from '../../support/apps.ts';
import { waits, whileHeld } from '../../support/held.ts';
import { on } from '../../support/role-world.ts';
import { servedApps } from '../../support/served-apps.ts';

describe('deployments', () => {
  let f: TestFoundation;
  /** The same developer in another organization. */
  let elsewhere: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
    const organization: Guid<'organization'> = (await f.cc.admin.post('/v3/organizations', { name: 'elsewhere' })).body
      .guid;
    const space = await newSpace(f.cc, organization, 'dev');
    await grant(f.cc, f.developer, 'space_developer', organization, space);
    elsewhere = { ...f, organization, space };
  });
  after(() => f.close());
  afterEach(async () => {
    f.bbs.actual = [];
    f.bbs.meanwhile = async () => {};
    await f.cc.db.updateTable('deployments').set({ status_value: 'FINALIZED' }).execute();
  });

  const { served, lrpOf, runs, instancesOf } = servedApps(() => f);

  interface Deployed {
    guid: string;
    /** What it starts. */
    lrp: string;
  }

  /** An app of one instance that is being deployed. */
  async function deploying(where: TestFoundation, name: string): Promise<Deployed> {
    const app = await runningApp(where, name);
    const made = await f.developer.post('/v3/deployments', { relationships: { app: { data: { guid: app } } } });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const { guid } = made.body;
    const lrp = await f.cc.db
      .selectFrom('deployments')
      .innerJoin('processes', 'processes.guid', 'new_process_guid')
      .select(['processes.guid', 'version'])
      .where('deployments.guid', '=', guid)
      .executeTakeFirstOrThrow();
    return { guid, lrp: `${lrp.guid}-${lrp.version}` };
  }

  const statusOf = async ({ guid }: Deployed) => (await f.developer.get(`/v3/deployments/${guid}`)).body.status;
  const isDone = async (deployed: Deployed) => (await statusOf(deployed)).reason === 'DEPLOYED';
  function run(...deployments: Deployed[]): void {
    f.bbs.actual = deployments.map(({ lrp: processGuid }) =>
      create(ActualLrpSchema, { processGuid, index: 0, state: 'RUNNING', instanceGuid: processGuid }),
    );
  }
  /** Somebody changes something in the organization for as long as `body` takes. */
  const whileChanged = (organization: Guid<'organization'>, body: () => Promise<void>): Promise<void> =>
    f.cc.db.transaction().execute(async (trx) => {
      await lockQuotas(trx, organization);
      await body();
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

  it('a canary pauses at each step, goes on when it is told to, and is cancelled back', async () => {
    const { app, lrp: old } = await served('canary', 4);
    const { developer } = f;
    const deploy = async (options: object) =>
      developer.post('/v3/deployments', {
        droplet: { guid: await stage(f, app) },
        strategy: 'canary',
        options,
        relationships: { app: { data: { guid: app } } },
      });
    const status = async (guid: string, reason: string) =>
      eventually(async () => {
        const { body } = await developer.get(`/v3/deployments/${guid}`);
        return body.status.reason === reason ? body : null;
      });
    const unsorted = await deploy({ canary: { steps: [{ instance_weight: 50 }, { instance_weight: 10 }] } });
    assert.match(unsorted.body.errors[0].detail, /ascending/);
    const first = (await deploy({})).body;
    const lrp = await lrpOf(app);
    await eventually(() => instancesOf(lrp) === 1);
    runs(lrp, 1);
    const paused = await status(first.guid, 'PAUSED');
    assert.deepEqual([paused.status.value, paused.status.canary.steps], ['ACTIVE', { current: 1, total: 1 }]);
    assert.ok(paused.links.continue);
    assert.equal(instancesOf(old), 4);
    assert.equal((await developer.post(`/v3/deployments/${first.guid}/actions/cancel`)).status, 200);
    await eventually(() => !f.bbs.lrps.has(lrp));
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const leaving = (await developer.get(`/v3/deployments/${first.guid}`)).body.status;
    assert.deepEqual([leaving.value, leaving.reason], ['ACTIVE', 'CANCELING'], 'its instances still answer');
    runs(lrp, 0);
    await status(first.guid, 'CANCELED');
    assert.equal(instancesOf(old), 4);

    const second = (await deploy({ max_in_flight: 4, canary: { steps: [{ instance_weight: 50 }] } })).body;
    const half = await lrpOf(app);
    await eventually(() => instancesOf(half) === 2);
    runs(half, 2);
    await status(second.guid, 'PAUSED');
    await eventually(() => instancesOf(old) === 3);
    assert.equal((await developer.post(`/v3/deployments/${second.guid}/actions/continue`)).status, 200);
    await eventually(() => instancesOf(half) === 4);
    runs(half, 4);
    await status(second.guid, 'DEPLOYED');
    await eventually(() => !f.bbs.lrps.has(old));
    const over = await developer.post(`/v3/deployments/${second.guid}/actions/continue`);
    assert.equal(
      over.body.errors[0].detail,
      'Cannot continue a deployment with status: FINALIZED and reason: DEPLOYED',
    );
  });

  it('a deployment brings the sizes it is given', async () => {
    const { app } = await served('sized', 2);
    const options = { web_instances: 3, memory_in_mb: 96, log_rate_limit_in_bytes_per_second: 1024, max_in_flight: 5 };
    const relationships = { app: { data: { guid: app } } };
    const made = (await f.developer.post('/v3/deployments', { options, relationships })).body;
    assert.deepEqual(made.options, options);
    const lrp = await lrpOf(app);
    await eventually(() => instancesOf(lrp) === 3);
    assert.deepEqual([f.bbs.lrps.get(lrp)!.memoryMb, f.bbs.lrps.get(lrp)!.logRateLimitBytesPerSecond], [96, 1024]);
  });

  it('a cancel and a step of the deployment are one after the other: none is lost', async () => {
    const { cc } = f;
    const app = await runningApp(f, 'at-once');
    const made = await cc.admin.post('/v3/deployments', { relationships: { app: on(app) } });
    const { guid } = made.body;
    // No step but the test's own is made.
    const paused = { strategy: 'canary', status_reason: 'PAUSED' } as const;
    await cc.db.updateTable('deployments').set(paused).where('guid', '=', guid).execute();
    const cancel = () => cc.admin.post(`/v3/deployments/${guid}/actions/cancel`);
    const changes = { status_value: 'FINALIZED', status_reason: 'DEPLOYED' } as const;
    // As a step does: it has the app's lock first, and writes what came of it last.
    const reply = await whileHeld(cc.db, (trx) => lockApp(trx, app), cancel, {
      last: (trx) => trx.updateTable('deployments').set(changes).where('guid', '=', guid).execute(),
    });
    const { status } = (await cc.admin.get(`/v3/deployments/${guid}`)).body;
    assert.deepEqual([reply.status, status.reason], [422, 'DEPLOYED']);
  });

  it('one without a droplet deploys the one that is current once nobody else changes the app', async () => {
    const { cc, developer } = f;
    const app = await runningApp(f, 'current');
    const droplet = guid<'droplet'>(await stage(f, app));
    const changing = async (trx: Trx) => {
      await lockApp(trx, app);
      await trx.updateTable('apps').set({ droplet_guid: droplet }).where('guid', '=', app).execute();
    };
    const made = await whileHeld(cc.db, changing, () =>
      developer.post('/v3/deployments', { relationships: { app: on(app) } }),
    );
    assert.deepEqual([made.status, made.body.droplet?.guid], [201, droplet]);
    const current = (await developer.get(`/v3/apps/${app}/relationships/current_droplet`)).body.data.guid;
    assert.equal(current, droplet);
  });

  it('a second cancel is answered as the first and changes nothing', async () => {
    const { db } = f.cc;
    const deployment = await deploying(f, 'twice');
    const { guid } = deployment;
    // It is paused, so that it does not end before, and its instance runs, so that taking it back does not.
    await db
      .updateTable('deployments')
      .set({ strategy: 'canary', status_reason: 'PAUSED' })
      .where('guid', '=', guid)
      .execute();
    run(deployment);
    const cancel = async () => {
      const since = new Date(Date.now() - 60_000);
      await db.updateTable('deployments').set({ status_updated_at: since }).where('guid', '=', guid).execute();
      const { status } = await f.developer.post(`/v3/deployments/${guid}/actions/cancel`);
      const { reason, details } = await statusOf(deployment);
      const { rows: events } = await sql`
        SELECT FROM audit_events WHERE type = 'audit.app.deployment.cancel' AND data->>'deployment_guid' = ${guid}`.execute(
        db,
      );
      return {
        status,
        reason,
        changed: Date.parse(details.last_status_change) > since.getTime(),
        events: events.length,
      };
    };
    assert.deepEqual(await cancel(), { status: 200, reason: 'CANCELING', changed: true, events: 1 });
    assert.deepEqual(await cancel(), { status: 200, reason: 'CANCELING', changed: false, events: 1 });
  });

  it('lists of deployments and buildpacks are filtered by state and lifecycle', async () => {
    const { cc, developer } = f;
    const app = await runningApp(f, 'listed');
    const relationships = { app: { data: { guid: app } } };
    assert.equal((await developer.post('/v3/deployments', { relationships })).status, 201);
    const total = async (path: string) => (await cc.admin.get(path)).body.pagination.total_results;
    assert.equal(await total(`/v3/deployments?app_guids=${app}&states=DEPLOYING,DEPLOYED`), 1);
    assert.equal(await total(`/v3/deployments?app_guids=${app}&states=CANCELED`), 0);
    assert.equal(await total('/v3/buildpacks?lifecycle=buildpack'), 1);
    assert.equal(await total('/v3/buildpacks?lifecycle=cnb'), 0);
    assert.equal((await cc.admin.get('/v3/buildpacks?lifecycle=other')).status, 400);
  });

  it('SECURITY 30: whoever holds up their own organization holds up no deployment and no start of another', async () => {
    const own = [await deploying(f, 'own-1'), await deploying(f, 'own-2'), await deploying(f, 'own-3')];
    const other = await deploying(elsewhere, 'other');
    await whileChanged(f.organization, async () => {
      run(...own, other);
      await eventually(() => isDone(other));
      const app = await runningApp(elsewhere, 'started');
      const { guid, version } = (await f.developer.get(`/v3/apps/${app}/processes/web`)).body;
      await eventually(() => f.bbs.lrps.has(`${guid}-${version}`));
      for (const one of own) assert.equal((await statusOf(one)).value, 'ACTIVE');
    });
    for (const one of own) await eventually(() => isDone(one));
  });

  it('SECURITY 30: one that fails leaves the others their steps, and everybody their starts', async () => {
    const broken = await deploying(f, 'broken');
    const whole = await deploying(f, 'whole');
    f.bbs.meanwhile = async (lrps) => {
      if (lrps.includes(broken.lrp)) throw new Error('no');
    };
    run(broken, whole);
    await eventually(() => isDone(whole));
    const app = await runningApp(f, 'started-beside');
    const { guid, version } = (await f.developer.get(`/v3/apps/${app}/processes/web`)).body;
    await eventually(() => f.bbs.lrps.has(`${guid}-${version}`));
    assert.equal((await statusOf(broken)).value, 'ACTIVE');
  });

  it('SECURITY 30: one that is paused or has no step to take does not lock its organization', async () => {
    const paused = await deploying(f, 'paused');
    await deploying(f, 'waiting');
    await f.cc.db
      .updateTable('deployments')
      .set({ strategy: 'canary', status_reason: 'PAUSED' })
      .where('guid', '=', paused.guid)
      .execute();
    const asked = () => f.bbs.calls.filter((call) => call === 'actualLrps').length;
    // What has read it before it was paused is over by then.
    const earlier = asked();
    await eventually(() => asked() >= earlier + 2);
    run(paused);
    await whileChanged(f.organization, async () => {
      const before = asked();
      let most = 0;
      await eventually(async () => {
        most = Math.max(most, await waits(f.cc.db));
        return asked() >= before + 2;
      });
      assert.equal(most, 0);
    });
  });

  it('one that is superseded while its step finds no room says nothing of that', async () => {
    const { db } = f.cc;
    const deployment = await deploying(f, 'superseded');
    const quota = await f.cc.admin.post('/v3/organization_quotas', { name: 'none', apps: { total_instances: 0 } });
    const data = [{ guid: f.organization }];
    await f.cc.admin.post(`/v3/organization_quotas/${quota.body.guid}/relationships/organizations`, { data });
    // As long as its instances crash it does not grow.
    run(deployment);
    for (const lrp of f.bbs.actual) lrp.state = 'CRASHED';
    await sql`UPDATE deployments SET reserved_instances = 0, web_instances = 3, max_in_flight = 3
      WHERE guid = ${deployment.guid}`.execute(db);
    await db.transaction().execute(async (trx) => {
      await trx
        .updateTable('deployments')
        .set({ status_value: 'FINALIZED', status_reason: 'SUPERSEDED' })
        .where('guid', '=', deployment.guid)
        .execute();
      f.bbs.actual = [];
      await eventually(async () => (await waits(db)) > 0);
    });
    await eventually(async () => (await waits(db)) === 0);
    const { error } = await db
      .selectFrom('deployments')
      .select('error')
      .where('guid', '=', deployment.guid)
      .executeTakeFirstOrThrow();
    assert.equal(error, null);
  });
});
