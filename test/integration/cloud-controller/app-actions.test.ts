import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { ActualLrpSchema } from '../../../src/contracts/gen/diego_pb.js';
import { eventually, runningApp, startTestFoundation, type TestFoundation, yaml } from '../../support/apps.ts';
import { servedApps } from '../../support/served-apps.ts';

describe('restarts', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
  });
  after(() => f.close());
  afterEach(() => {
    f.bbs.actual = [];
  });

  const { served, lrpOf, runs, act, instancesOf } = servedApps(() => f);

  it('HAV-01: a restart keeps what serves until the new instances are ready, one for one', async () => {
    const { app, lrp } = await served('restarted', 3);
    await act(app, 'restart');
    const next = await lrpOf(app);
    assert.notEqual(next, lrp);
    await eventually(() => instancesOf(next) === 3);
    assert.equal(instancesOf(lrp), 3);
    const stats = (await f.developer.get(`/v3/apps/${app}/processes/web/stats`)).body.resources;
    assert.deepEqual(
      stats.map(({ state }: { state: string }) => state),
      ['DOWN', 'DOWN', 'DOWN'],
      'clients wait for the new ones',
    );
    runs(next, 3, { routable: false });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal(instancesOf(lrp), 3, 'they run and are not ready');
    runs(next, 1);
    await eventually(() => instancesOf(lrp) === 2);
    runs(next, 3);
    await eventually(() => !f.bbs.lrps.has(lrp));
    assert.equal(instancesOf(next), 3);
  });

  it('HAV-01: a stop and a start right after it are a restart; a stop alone ends what serves', async () => {
    const { app, lrp } = await served('stopped');
    assert.equal((await act(app, 'stop')).body.state, 'STOPPED');
    assert.equal((await act(app, 'start')).body.state, 'STARTED');
    const next = await lrpOf(app);
    await eventually(() => instancesOf(next) === 1);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    assert.equal(instancesOf(lrp), 1, 'it serves until the new one does');
    runs(next, 1);
    await eventually(() => !f.bbs.lrps.has(lrp));
    await act(app, 'stop');
    await eventually(() => !f.bbs.lrps.has(next));
  });

  it('what a version that never starts was to replace serves on, and goes when the app stops', async () => {
    const { app, lrp } = await served('broken');
    await act(app, 'restart');
    const broken = await lrpOf(app);
    await eventually(() => instancesOf(broken) === 1);
    runs(broken, 1, { state: 'CRASHED' });
    await act(app, 'restart');
    const mended = await lrpOf(app);
    await eventually(() => instancesOf(mended) === 1 && !f.bbs.lrps.has(broken));
    assert.equal(instancesOf(lrp), 1);
    await act(app, 'stop');
    await eventually(() => f.bbs.lrps.size === 0 || (!f.bbs.lrps.has(lrp) && !f.bbs.lrps.has(mended)));
  });

  it('a version that crashed is shown first, and beside it, for looking at alone, what serves in its place', async () => {
    const { app, lrp } = await served('shown', 2);
    const { developer } = f;
    const old = (await developer.get(`/v3/apps/${app}/processes/web`)).body;
    const processes = async (path: string): Promise<{ guid: string; version: string; instances: number }[]> =>
      (await developer.get(path)).body.resources;
    await act(app, 'restart');
    const broken = await lrpOf(app);
    await eventually(() => instancesOf(broken) === 2);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal(
      (await processes(`/v3/apps/${app}/processes?types=web`)).length,
      1,
      'a start that goes on waits for no other',
    );
    runs(broken, 2, { state: 'CRASHED' });
    const [current, serving] = await eventually(async () => {
      const found = await processes(`/v3/apps/${app}/processes?types=web`);
      return found.length === 2 ? found : null;
    });
    assert.deepEqual([current!.guid, `${current!.guid}-${current!.version}`], [old.guid, broken]);
    assert.deepEqual([serving!.guid, serving!.version, serving!.instances], [old.version, old.version, 2]);
    const everywhere = await processes(`/v3/processes?app_guids=${app}&types=web&per_page=1&page=2`);
    assert.deepEqual(everywhere, [serving]);
    const path = `/v3/processes/${serving!.guid}`;
    const states = async (of: string) =>
      (await developer.get(of)).body.resources.map(({ state }: { state: string }) => state);
    assert.deepEqual(await states(`${path}/stats`), ['RUNNING', 'RUNNING']);
    assert.deepEqual(await states(`${path}/process_instances`), ['RUNNING', 'RUNNING']);
    assert.deepEqual(await states(`/v3/apps/${app}/processes/web/stats`), ['CRASHED', 'CRASHED']);
    assert.deepEqual((await developer.get(`${path}/sidecars`)).body.resources, []);
    assert.deepEqual(
      [
        (await developer.patch(path, { command: 'other' })).status,
        (await developer.post(`${path}/actions/scale`, { instances: 5 })).status,
        (await developer.request('DELETE', `${path}/instances/0`)).status,
      ],
      [422, 422, 422],
    );
    assert.equal(instancesOf(lrp), 2);
    await act(app, 'restart');
    assert.equal(
      (await processes(`/v3/apps/${app}/processes?types=web`)).length,
      1,
      'the next start waits for itself alone',
    );
    assert.equal((await developer.get(path)).status, 404);
  });

  it('SECURITY 30: what is replaced serves for an hour at most, so that nobody doubles what a quota allows', async () => {
    const { app, lrp } = await served('patient');
    await act(app, 'restart');
    const next = await lrpOf(app);
    await eventually(() => instancesOf(next) === 1);
    runs(next, 1, { routable: false });
    await sql`UPDATE outgoing_lrps SET since = since - interval '59 minutes'`.execute(f.cc.db);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal(instancesOf(lrp), 1);
    await sql`UPDATE outgoing_lrps SET since = since - interval '1 minute'`.execute(f.cc.db);
    await eventually(() => !f.bbs.lrps.has(lrp));
  });

  it('SECURITY 30: what a quota leaves of an outgoing version is not given back by a step that was worked out before', async () => {
    const { app, lrp } = await served('cut', 4);
    await act(app, 'restart');
    const next = await lrpOf(app);
    await eventually(() => instancesOf(next) === 4);
    const outgoing = () =>
      f.cc.db.selectFrom('outgoing_lrps').select('instances').where('lrp_guid', '=', lrp).executeTakeFirst();
    let asked = 0;
    f.bbs.meanwhile = async () => {
      asked += 1;
      if (asked > 1) return;
      runs(next, 1);
      await f.cc.db.updateTable('outgoing_lrps').set({ instances: 1 }).where('lrp_guid', '=', lrp).execute();
    };
    try {
      await eventually(() => asked >= 3);
      assert.equal((await outgoing())?.instances, 1);
    } finally {
      f.bbs.meanwhile = async () => {};
    }
    await act(app, 'stop');
  });

  it('where there is no room for both an old instance gives way', async () => {
    const { app, lrp } = await served('cramped', 2);
    await act(app, 'restart');
    const next = await lrpOf(app);
    await eventually(() => instancesOf(next) === 2);
    const sinceNs = BigInt(Date.now() - 60_000) * 1_000_000n;
    const waits = create(ActualLrpSchema, {
      processGuid: next,
      state: 'UNCLAIMED',
      placementError: 'insufficient memory',
      sinceNs,
    });
    f.bbs.actual = [...f.bbs.actual, waits];
    await eventually(() => instancesOf(lrp) === 1);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal(instancesOf(lrp), 1, 'the second waits until the first is gone');
    await eventually(() =>
      f.lines.some(
        ({ sourceId, message }) =>
          sourceId === app && message.case === 'log' && /no room/.test(Buffer.from(message.value.payload).toString()),
      ),
    );
  });

  it('an app without routes, or one that opts out, stops before it starts', async () => {
    const app = await runningApp(f, 'routeless');
    const lrp = await lrpOf(app);
    runs(lrp, 1);
    await act(app, 'restart');
    await eventually(() => !f.bbs.lrps.has(lrp));
    const { app: other, lrp: before } = await served('alone');
    const path = `/v3/spaces/${f.space}/actions/apply_manifest`;
    const manifest = 'applications:\n- name: alone\n  features: {rolling-restarts: false}\n';
    await f.developer.finished(await f.developer.request('POST', path, manifest, yaml));
    const feature = (await f.developer.get(`/v3/apps/${other}/features/rolling-restarts`)).body;
    assert.equal(feature.enabled, false);
    await act(other, 'restart');
    await eventually(() => !f.bbs.lrps.has(before));
  });

  it('a restart during a deployment keeps what the deployment had left of the old version', async () => {
    const { app, lrp: old } = await served('both', 2);
    await f.developer.post('/v3/deployments', { relationships: { app: { data: { guid: app } } } });
    const first = await lrpOf(app);
    await eventually(() => instancesOf(first) === 1);
    await act(app, 'restart');
    const second = await lrpOf(app);
    await eventually(() => instancesOf(second) === 2);
    assert.equal(instancesOf(old), 2);
    runs(second, 2);
    await eventually(() => !f.bbs.lrps.has(old) && !f.bbs.lrps.has(first));
  });
});
