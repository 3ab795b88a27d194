import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type RawBuilder, sql } from 'kysely';
import { RETENTION_RULES, type RetentionRule } from '../../../src/cloud-controller/retention/rules.ts';
import { sweepRows } from '../../../src/cloud-controller/retention/sweep.ts';
import { Logger } from '../../../src/kit/log.ts';
import { eventually, newApp, startTestFoundation, type TestFoundation, yaml } from '../../support/apps.ts';
import { silentLog } from '../../support/postgresql.ts';
import { rowsScanned } from '../../support/scans.ts';

/** The rules with small numbers. */
const few = (most: number): RetentionRule[] =>
  RETENTION_RULES.map((rule) => ({ ...rule, ...(rule.newest ? { newest: { ...rule.newest, most } } : {}) }));

describe('what is kept of what happened', () => {
  let f: TestFoundation;
  let app: string;
  before(async () => {
    f = await startTestFoundation();
    app = await newApp(f, 'busy');
  });
  after(() => f.close());

  const run = (statement: RawBuilder<unknown>) => statement.execute(f.cc.db);
  const count = async (from: RawBuilder<unknown>): Promise<number> => {
    const { rows } = await sql<{ n: number }>`SELECT count(*) AS n FROM ${from}`.execute(f.cc.db);
    return rows[0]!.n;
  };

  const event = (actor: string, organization: string | null, days: number, times = 1) =>
    run(sql`INSERT INTO audit_events (guid, type, actor_guid, actor_type, actor_name, target_guid, target_type, target_name,
        data, organization_guid, created_at)
      SELECT gen_random_uuid(), 'audit.app.update', ${actor}, 'user', ${actor}, 'x', 'app', 'x', '{}', ${organization},
        now() - make_interval(days => ${days}) FROM generate_series(1, ${times}::integer)`);
  const job = (actor: string, state: string, days: number, times = 1, bytes = 0) =>
    run(sql`INSERT INTO jobs (guid, operation, state, input, actor, errors, warnings, attempts, updated_at)
      SELECT gen_random_uuid(), 'nobody.does', ${state}, jsonb_build_object('held', (SELECT string_agg(gen_random_uuid()::text, '')
          FROM generate_series(1, ${Math.ceil(bytes / 36)}::integer))),
        jsonb_build_object('guid', ${actor}::text, 'type', 'user', 'name', ${actor}::text), '[]', '[]', 0,
        now() - make_interval(days => ${days}) FROM generate_series(1, ${times}::integer)`);
  const task = (state: string, days: number, times = 1) =>
    run(sql`INSERT INTO tasks (guid, app_guid, sequence_id, name, command_key_label, command_data, state, memory_mb, disk_mb,
        log_rate_limit, droplet_guid, updated_at)
      SELECT gen_random_uuid(), ${app}, coalesce((SELECT max(sequence_id) FROM tasks WHERE app_guid = ${app}), 0) + n, 'x',
        'test', '', ${state}, 1, 1, -1, 'none', now() - make_interval(days => ${days})
      FROM generate_series(1, ${times}::integer) AS n`);
  const bits = (table: 'packages' | 'droplets', state: string, days: number, times = 1) =>
    run(
      table === 'packages'
        ? sql`INSERT INTO packages (guid, app_guid, state, updated_at)
            SELECT gen_random_uuid(), ${app}, ${state}, now() - make_interval(days => ${days})
            FROM generate_series(1, ${times}::integer)`
        : sql`INSERT INTO droplets (guid, app_guid, state, process_types, buildpacks, updated_at)
            SELECT gen_random_uuid(), ${app}, ${state}, '{}', '[]', now() - make_interval(days => ${days})
            FROM generate_series(1, ${times}::integer)`,
    );

  it('events, jobs and tasks go a month after they ended, a package that nobody uploads after a day, an expired one after a week', async () => {
    await event('old', 'some', 32);
    await event('old', 'some', 30);
    for (const state of ['COMPLETE', 'FAILED', 'PROCESSING']) {
      await job('old', state, 32);
      await job('old', state, 30);
    }
    for (const state of ['SUCCEEDED', 'FAILED', 'RUNNING']) {
      await task(state, 32);
      await task(state, 30);
    }
    for (const [state, kept] of [
      ['AWAITING_UPLOAD', 0],
      ['EXPIRED', 6],
    ] as const) {
      await bits('packages', state, kept + 2);
      await bits('packages', state, kept);
    }
    await bits('packages', 'READY', 90);
    await bits('droplets', 'EXPIRED', 8);
    await bits('droplets', 'EXPIRED', 6);
    await bits('droplets', 'STAGED', 90);
    await sweepRows(f.cc.db, silentLog);
    assert.equal(await count(sql`audit_events WHERE actor_guid = 'old'`), 1);
    const states = async (table: string) => {
      const where = table === 'jobs' ? sql`actor ->> 'guid' = 'old'` : sql`app_guid = ${app}`;
      const { rows } = await sql<{
        state: string;
      }>`SELECT state FROM ${sql.table(table)} WHERE ${where} ORDER BY state`.execute(f.cc.db);
      return rows.map(({ state }) => state);
    };
    assert.deepEqual(await states('jobs'), ['COMPLETE', 'FAILED', 'PROCESSING', 'PROCESSING']);
    assert.deepEqual(await states('tasks'), ['FAILED', 'RUNNING', 'RUNNING', 'SUCCEEDED']);
    assert.deepEqual(await states('packages'), ['AWAITING_UPLOAD', 'EXPIRED', 'READY']);
    assert.deepEqual(await states('droplets'), ['EXPIRED', 'STAGED']);
  });

  it('the next task gets the number after the last, however long that one is over', async () => {
    const other = await newApp(f, 'seldom');
    await run(sql`UPDATE tasks SET app_guid = ${other}, state = 'FAILED', updated_at = now() - interval '99 days'
      WHERE sequence_id = (SELECT max(sequence_id) FROM tasks WHERE app_guid = ${app})`);
    await sweepRows(f.cc.db, silentLog);
    assert.equal(await count(sql`tasks WHERE app_guid = ${other}`), 1);
  });

  it('SECURITY 30: of what one may make without end the newest stay; who makes many pushes out nobody else’s', async () => {
    await event('flood', 'one', 0, 20);
    await event('flood', 'two', 0, 2);
    await event('flood', null, 0, 20);
    await event('quiet', 'one', 3, 3);
    await job('flood', 'COMPLETE', 0, 20);
    await job('flood', 'PROCESSING', 0, 20);
    await job('quiet', 'FAILED', 3, 3);
    await task('FAILED', 0, 20);
    await bits('packages', 'AWAITING_UPLOAD', 0, 20);
    await bits('packages', 'EXPIRED', 0, 20);
    await bits('droplets', 'EXPIRED', 0, 20);
    await run(sql`INSERT INTO builds (guid, app_guid, package_guid, state, droplet_guid, buildpacks, stack, staging_memory_mb,
        staging_disk_mb, created_by_guid, created_by_name)
      SELECT gen_random_uuid(), ${app}, 'p', CASE n WHEN 1 THEN 'STAGING' ELSE 'FAILED' END, 'd', '{}', 's', 1, 1, 'g', 'n'
      FROM generate_series(1, 20) AS n`);
    await run(sql`INSERT INTO deployments (guid, app_guid, strategy, status_value, status_reason, max_in_flight, old_process_guid,
        new_process_guid, original_instances)
      SELECT gen_random_uuid(), ${app}, 'rolling', CASE n WHEN 1 THEN 'ACTIVE' ELSE 'FINALIZED' END, 'PAUSED', 1, 'o', 'n', 1
      FROM generate_series(1, 20) AS n`);
    await run(sql`INSERT INTO revisions (guid, app_guid, version, droplet_guid, description)
      SELECT 'revision-' || n, ${app}, n, 'd', 'x' FROM generate_series(1, 20) AS n`);
    await run(sql`UPDATE processes SET revision_guid = 'revision-2' WHERE app_guid = ${app}`);
    await sweepRows(f.cc.db, silentLog, few(3));
    const left = {
      flood: await count(sql`audit_events WHERE actor_guid = 'flood' AND organization_guid = 'one'`),
      elsewhere: await count(sql`audit_events WHERE actor_guid = 'flood' AND organization_guid = 'two'`),
      nowhere: await count(sql`audit_events WHERE actor_guid = 'flood' AND organization_guid IS NULL`),
      quiet: await count(sql`audit_events WHERE actor_guid = 'quiet'`),
      jobs: await count(sql`jobs WHERE actor ->> 'guid' = 'flood' AND state = 'COMPLETE'`),
      unfinished: await count(sql`jobs WHERE actor ->> 'guid' = 'flood' AND state = 'PROCESSING'`),
      quietJobs: await count(sql`jobs WHERE actor ->> 'guid' = 'quiet'`),
      // And the last.
      tasks: await count(sql`tasks WHERE app_guid = ${app} AND state IN ('SUCCEEDED', 'FAILED')`),
      awaiting: await count(sql`packages WHERE app_guid = ${app} AND state = 'AWAITING_UPLOAD'`),
      expired: await count(sql`packages WHERE app_guid = ${app} AND state = 'EXPIRED'`),
      droplets: await count(sql`droplets WHERE app_guid = ${app} AND state = 'EXPIRED'`),
      // And what is under way.
      builds: await count(sql`builds WHERE app_guid = ${app}`),
      deployments: await count(sql`deployments WHERE app_guid = ${app}`),
    };
    assert.deepEqual(left, {
      ...{ flood: 3, elsewhere: 2, nowhere: 3, quiet: 3, jobs: 3, unfinished: 20, quietJobs: 3, tasks: 4 },
      ...{ awaiting: 3, expired: 3, droplets: 3, builds: 4, deployments: 4 },
    });
    const revisions = await f.cc.db.selectFrom('revisions').select('version').orderBy('version').execute();
    assert.deepEqual(
      revisions.map(({ version }) => version),
      [2, 18, 19, 20],
      'with the one that runs',
    );
    await run(sql`DELETE FROM jobs WHERE operation = 'nobody.does'`);
  });

  it('SECURITY 30: a rule that fails is logged, and the others hold', async () => {
    await event('failing', 'some', 32);
    await job('failing', 'FAILED', 0, 8);
    const lines: string[] = [];
    const log = new Logger('test', {}, (line) => lines.push(line));
    const [events, ...others] = few(3);
    assert.ok(events?.newest);
    const broken = { ...events, newest: { ...events.newest, per: sql<string>`(1 / (id - id))::text` } };
    await sweepRows(f.cc.db, log, [broken, ...others]);
    assert.equal(await count(sql`audit_events WHERE actor_guid = 'failing'`), 0, 'by age');
    assert.equal(await count(sql`jobs WHERE actor ->> 'guid' = 'failing'`), 3);
    assert.equal(lines.filter((line) => line.includes('audit_events by number')).length, 1, lines.join(''));
    await run(sql`DELETE FROM jobs WHERE operation = 'nobody.does'`);
  });

  it('SECURITY 30: what is beyond its number is found however many have made something, a few at a time', async () => {
    for (let actor = 0; actor < 47; actor += 1) await event(`one of ${actor}`, 'some', 0, actor % 2 === 0 ? 5 : 3);
    await event('one of 46', 'other', 0, 9);
    await sweepRows(f.cc.db, silentLog, few(3));
    const { rows } = await sql<{ most: number }>`SELECT max(n) AS most FROM (
      SELECT count(*) AS n FROM audit_events WHERE actor_guid LIKE 'one of %'
      GROUP BY actor_guid, organization_guid) AS of_each`.execute(f.cc.db);
    assert.equal(rows[0]?.most, 3);
    assert.equal(await count(sql`audit_events WHERE actor_guid LIKE 'one of %'`), 48 * 3);
  });

  it('what is old or too many is found without a look at all that is not', async () => {
    await event('recent', 'some', 1, 4_000);
    await job('recent', 'COMPLETE', 1, 4_000);
    await run(sql`ANALYZE audit_events, jobs`);
    const large = RETENTION_RULES.filter(({ table }) => table === 'audit_events' || table === 'jobs');
    const scanned = await rowsScanned(f.cc.db, (trx) => sweepRows(trx, silentLog, large));
    assert.deepEqual([scanned.get('audit_events'), scanned.get('jobs')], [0, 0]);
    await run(sql`DELETE FROM jobs WHERE operation = 'nobody.does'`);
  });

  it('a job that is over keeps nothing of the manifest it was given', async () => {
    const { developer, space } = f;
    const manifest = 'applications:\n- name: described\n  env: { NAME: value }\n';
    const path = `/v3/spaces/${space}/actions/apply_manifest`;
    const reply = await developer.request('POST', path, manifest, yaml);
    const done = await developer.finished(reply);
    assert.equal(done.body.state, 'COMPLETE');
    const { input } = await f.cc.db
      .selectFrom('jobs')
      .select('input')
      .where('guid', '=', done.body.guid)
      .executeTakeFirstOrThrow();
    assert.deepEqual(input, {});
  });

  it('SECURITY 30: one caller has so many unfinished jobs and no more, nor larger ones', async () => {
    const { developer } = f;
    const other = await newApp(f, 'waiting');
    const remove = async () => (await developer.delete(`/v3/apps/${other}`)).status;
    for (const [times, bytes] of [
      [1_000, 0],
      [33, 1024 ** 2],
    ] as const) {
      await job(developer.guid, 'PROCESSING', 0, times, bytes);
      const refused = await developer.delete(`/v3/apps/${other}`);
      assert.deepEqual([refused.status, refused.body.errors[0].title], [429, 'CF-RateLimitExceeded']);
      await run(sql`DELETE FROM jobs WHERE operation = 'nobody.does'`);
    }
    await job('somebody else', 'PROCESSING', 0, 1_000);
    assert.equal(await remove(), 202);
    await run(sql`DELETE FROM jobs WHERE operation = 'nobody.does'`);
  });

  it('SECURITY 30: an event keeps of a large request what is small, and which fields were not', async () => {
    const { developer } = f;
    const annotations = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`note-${n}`, 'x'.repeat(5_000)]));
    const body = { name: 'renamed', metadata: { annotations } };
    assert.equal((await developer.patch(`/v3/apps/${app}`, body)).status, 200);
    const found = await f.cc.db
      .selectFrom('audit_events')
      .select('data')
      .where('target_guid', '=', app)
      .where('type', '=', 'audit.app.update')
      .orderBy('id', 'desc')
      .executeTakeFirstOrThrow();
    assert.deepEqual(found.data, { request: { name: 'renamed', metadata: '[TOO LARGE TO BE KEPT]' } });
  });

  it('SECURITY 30: while the disk is nearly full nobody but an administrator brings anything, and everybody can delete and stop', async () => {
    const { developer, blobs, cc, space } = f;
    const relationships = { space: { data: { guid: space } } };
    const doomed = await newApp(f, 'doomed');
    blobs.free = -1;
    try {
      const refused = await developer.post('/v3/apps', { name: 'more', relationships });
      assert.deepEqual([refused.status, refused.body.errors[0].title], [503, 'CF-ServiceUnavailable']);
      assert.equal((await developer.request('POST', `/v3/apps/${doomed}/actions/stop`)).status, 200);
      assert.equal((await developer.get(`/v3/apps/${doomed}`)).status, 200);
      assert.equal((await developer.finished(await developer.delete(`/v3/apps/${doomed}`))).body.state, 'COMPLETE');
      assert.equal((await cc.admin.post('/v3/organizations', { name: 'made' })).status, 201);
    } finally {
      blobs.free = Number.POSITIVE_INFINITY;
    }
    await eventually(async () => (await developer.post('/v3/apps', { name: 'more', relationships })).status === 201);
  });
});
