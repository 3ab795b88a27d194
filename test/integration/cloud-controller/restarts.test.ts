import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { type ActualLrp, ActualLrpSchema } from '../../../src/contracts/gen/diego_pb.js';
import { eventually, runningApp, stage, startTestFoundation, type TestFoundation, yaml } from '../../support/apps.ts';

describe('restarts and deployments', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
  });
  after(() => f.close());
  afterEach(() => {
    f.bbs.actual = [];
  });

  /** A started app with a route and `count` running instances. */
  async function served(name: string, count = 1): Promise<{ app: string; lrp: string }> {
    const app = await runningApp(f, name);
    const { developer } = f;
    const [domain] = (await developer.get('/v3/domains')).body.resources;
    const relationships = { space: { data: { guid: f.space } }, domain: { data: { guid: domain.guid } } };
    const route = (await developer.post('/v3/routes', { host: name, relationships })).body;
    await developer.post(`/v3/routes/${route.guid}/destinations`, { destinations: [{ app: { guid: app } }] });
    await developer.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances: count });
    const lrp = await lrpOf(app);
    await eventually(() => f.bbs.lrps.get(lrp)?.instances === count && f.bbs.lrps.get(lrp)?.routes.length === 1);
    runs(lrp, count);
    return { app, lrp };
  }

  const lrpOf = async (app: string): Promise<string> => {
    const { guid, version } = (await f.developer.get(`/v3/apps/${app}/processes/web`)).body;
    return `${guid}-${version}`;
  };

  /** These instances run, and of this LRP no other. */
  function runs(processGuid: string, count: number, more: Partial<Pick<ActualLrp, 'routable' | 'state'>> = {}): void {
    f.bbs.actual = [
      ...f.bbs.actual.filter((lrp) => lrp.processGuid !== processGuid),
      ...Array.from({ length: count }, (_, index) =>
        create(ActualLrpSchema, {
          processGuid,
          index,
          state: 'RUNNING',
          instanceGuid: `${processGuid}/${index}`,
          ...more,
        }),
      ),
    ];
  }

  const act = (app: string, action: string) => f.developer.post(`/v3/apps/${app}/actions/${action}`);
  const instancesOf = (lrp: string): number | undefined => f.bbs.lrps.get(lrp)?.instances;

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
    await status(first.guid, 'CANCELED');
    await eventually(() => !f.bbs.lrps.has(lrp));
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
