import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { findShownProcess } from '../../../src/cloud-controller/processes/shown.ts';
import { ActualLrpSchema } from '../../../src/contracts/gen/diego_pb.js';
import { eventually, newApp, runningApp, startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import { rowsScanned } from '../../support/scans.ts';

describe('processes', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
  });
  after(() => f.close());
  afterEach(() => {
    f.bbs.actual = [];
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

  it('stats follow the actual LRPs', async () => {
    const { developer, bbs } = f;
    const app = await runningApp(f, 'stats');
    const process = (await developer.get(`/v3/apps/${app}/processes/web`)).body;
    const processGuid = `${process.guid}-${process.version}`;
    bbs.actual = [create(ActualLrpSchema, { processGuid, index: 0, state: 'RUNNING', instanceGuid: 'i', sinceNs: 1n })];
    const stats = (await developer.get(`/v3/processes/${process.guid}/stats`)).body.resources;
    assert.deepEqual([stats.length, stats[0].state, stats[0].type, stats[0].routable], [1, 'RUNNING', 'web', true]);
    assert.equal((await developer.delete(`/v3/apps/${app}/processes/web/instances/0`)).status, 204);
    assert.deepEqual(bbs.retired, [`${processGuid}/0`]);
    bbs.away = true;
    assert.equal((await developer.get(`/v3/processes/${process.guid}/stats`)).status, 503);
    bbs.away = false;
    bbs.cellsAway = true;
    const half = await developer.get(`/v3/processes/${process.guid}/stats`);
    bbs.cellsAway = false;
    assert.deepEqual([half.status, half.body.resources[0].state], [200, 'RUNNING']);
    const warning = decodeURIComponent(half.headers.get('x-cf-warnings') ?? '');
    assert.equal(warning, 'Stats server temporarily unavailable.');
    bbs.away = false;
    bbs.actual = [];
  });

  it('embeds what each process runs, and 503 says that Diego is away', async () => {
    const { developer, bbs } = f;
    const app = await runningApp(f, 'embedded');
    const process = (await developer.get(`/v3/apps/${app}/processes/web`)).body;
    const lrp = { processGuid: `${process.guid}-${process.version}`, instanceGuid: 'i', sinceNs: 1n };
    bbs.actual = [
      create(ActualLrpSchema, { ...lrp, index: 0, state: 'RUNNING' }),
      create(ActualLrpSchema, { ...lrp, processGuid: 'another-process', index: 0, state: 'CRASHED' }),
    ];
    const alone = (await developer.get(`/v3/processes/${process.guid}/process_instances`)).body.resources;
    assert.deepEqual([alone.length, alone[0].index, alone[0].state], [1, 0, 'RUNNING']);
    const embed = 'embed=process_instances';
    for (const path of [`/v3/processes/${process.guid}`, `/v3/apps/${app}/processes/web`]) {
      const [found] = (await developer.get(`${path}?${embed}`)).body.process_instances;
      assert.deepEqual([found.index, found.state], [0, 'RUNNING'], path);
      assert.ok(found.since > 0);
      assert.equal('process_instances' in (await developer.get(path)).body, false);
    }
    for (const path of ['/v3/processes', `/v3/apps/${app}/processes`]) {
      const { resources } = (await developer.get(`${path}?${embed}&per_page=100`)).body;
      const shown = new Map<string, { state: string }[]>(
        resources.map((row: { guid: string; process_instances: { state: string }[] }) => [
          row.guid,
          row.process_instances,
        ]),
      );
      assert.deepEqual(
        shown.get(process.guid)?.map(({ state }) => state),
        ['RUNNING'],
        path,
      );
      const worker = resources.find((row: { type: string; instances: number }) => row.type === 'worker');
      assert.deepEqual(worker.process_instances, [], path);
      assert.equal((await developer.get(`${path}?${embed},${embed.slice(6)}`)).status, 400);
    }
    bbs.away = true;
    assert.equal((await developer.get(`/v3/processes?${embed}`)).status, 503);
    assert.equal((await developer.get('/v3/processes')).status, 200);
    bbs.away = false;
  });

  it('a crash becomes two events, one of the process and one of the app, that say the same', async () => {
    const { cc, internal } = f;
    const app = await runningApp(f, 'crashing');
    const process = (await cc.admin.get(`/v3/apps/${app}/processes/web`)).body;
    const crash = { index: 1, instanceGuid: 'i', cellId: 'cell-1', reason: 'exited with 1', crashCount: 2 };
    await internal.lrpCrashed({ processGuid: `${process.guid}-${process.version}`, ...crash });
    const types = 'app.crash,audit.app.process.crash';
    const { resources } = (await cc.admin.get(`/v3/audit_events?target_guids=${app}&types=${types}`)).body;
    const [ofApp, ofProcess] = resources.sort((a: { type: string }, b: { type: string }) => (a.type < b.type ? -1 : 1));
    assert.deepEqual([resources.length, ofApp.type, ofProcess.type], [2, ...types.split(',')]);
    assert.deepEqual(ofApp.actor, { guid: app, type: 'app', name: 'crashing' });
    assert.deepEqual(ofProcess.actor, { guid: process.guid, type: 'process', name: 'web' });
    assert.deepEqual(ofApp.target, ofProcess.target);
    const data = { instance: 'i', index: 1, cell_id: 'cell-1', reason: 'CRASHED', exit_description: 'exited with 1' };
    for (const event of [ofApp, ofProcess]) assert.deepEqual(event.data, { ...data, crash_count: 2 });
  });

  it('DGO-01: what is changed while Diego is away reaches it later', async () => {
    const { developer, bbs } = f;
    const app = await runningApp(f, 'away');
    await eventually(() => [...bbs.lrps.values()].some((lrp) => lrp.owner?.appGuid === app));
    bbs.away = true;
    const scaled = await developer.post(`/v3/apps/${app}/processes/web/actions/scale`, { instances: 3 });
    assert.deepEqual([scaled.status, scaled.body.instances], [202, 3]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    bbs.away = false;
    await eventually(() => [...bbs.lrps.values()].some((lrp) => lrp.owner?.appGuid === app && lrp.instances === 3));
    const before = [...bbs.lrps.keys()].filter((key) => key.startsWith(app));
    await developer.post(`/v3/apps/${app}/actions/restart`);
    await eventually(() => {
      const now = [...bbs.lrps.keys()].filter((key) => key.startsWith(app));
      return now.length === 1 && now[0] !== before[0];
    });
    await developer.post(`/v3/apps/${app}/actions/stop`);
    await eventually(() => ![...bbs.lrps.values()].some((lrp) => lrp.owner?.appGuid === app));
  });

  it('no process, task or staging gets more disk than the platform allows', async () => {
    const app = await newApp(f, 'greedy');
    const scaled = await f.developer.post(`/v3/apps/${app}/processes/web/actions/scale`, { disk_in_mb: 2_147_483_647 });
    assert.equal(scaled.status, 422);
    assert.match(
      scaled.body.errors[0].detail,
      /too much disk requested \(requested 2147483647 MB - must be less than 2048 MB\)/,
    );
    const body = { command: 'true', disk_in_mb: 4096 };
    const task = await f.developer.post(`/v3/apps/${app}/tasks`, body);
    assert.equal(task.body.errors[0].detail, 'Cannot request disk_in_mb greater than 2048');
  });

  it('one of many is found by its guid, and a version that serves by its own, without looking at the others', async () => {
    const { db } = f.cc;
    const app = await newApp(f, 'many');
    await sql`INSERT INTO processes (guid, app_guid, type, instances, memory_mb, disk_mb, log_rate_limit,
        health_check_type, state, version)
      SELECT gen_random_uuid(), ${app}, 'worker' || n, 1, 64, 64, -1, 'process', 'STARTED', gen_random_uuid()
      FROM generate_series(1, 3000) AS n`.execute(db);
    await sql`INSERT INTO outgoing_lrps (lrp_guid, app_guid, process_guid, instances, failed_version)
      SELECT guid || '-' || gen_random_uuid(), app_guid, guid, 1, version FROM processes WHERE type LIKE 'worker%'`.execute(
      db,
    );
    await sql`ANALYZE processes, outgoing_lrps`.execute(db);
    const process = await db
      .selectFrom('processes')
      .select(['guid', 'version'])
      .where('type', '=', 'worker1500')
      .executeTakeFirstOrThrow();
    const outgoing = await db
      .selectFrom('outgoing_lrps')
      .select('lrp_guid')
      .where('process_guid', '=', process.guid)
      .executeTakeFirstOrThrow();
    const version = outgoing.lrp_guid.slice(37);
    const found: unknown[] = [];
    const scanned = await rowsScanned(db, async (trx) => {
      for (const guid of [process.guid, version, 'nobody']) {
        const shown = await findShownProcess(trx, guid);
        found.push(shown && [shown.guid, shown.version, shown.isOutgoing]);
      }
    });
    assert.deepEqual(found, [[process.guid, process.version, false], [version, version, true], null]);
    assert.deepEqual([scanned.get('processes'), scanned.get('outgoing_lrps')], [0, 0]);
  });
});
