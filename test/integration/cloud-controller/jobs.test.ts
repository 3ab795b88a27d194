import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type Kysely, sql } from 'kysely';
import type { Database } from '../../../src/cloud-controller/database.ts';
import { Jobs } from '../../../src/cloud-controller/jobs/queue.ts';
import { claimJob, finishJob, insertJob } from '../../../src/cloud-controller/jobs/store.ts';
import { migrations } from '../../../src/cloud-controller/migrations/index.ts';
import { migrate } from '../../../src/kit/database.ts';
import { eventually } from '../../support/apps.ts';
import { startTestCloudController, type TestCloudController } from '../../support/cloud-controller.ts';
import { silentLog, startTestPostgresql, type TestPostgresql } from '../../support/postgresql.ts';
import { rowsScanned } from '../../support/scans.ts';

const WORK = 'test.work';
const MINUTE = 60;

describe('jobs', () => {
  let postgresql: TestPostgresql;
  let db: Kysely<Database>;
  before(async () => {
    postgresql = await startTestPostgresql(['cc']);
    db = postgresql.open<Database>('cc');
    await migrate(db, 'cc', migrations);
  });
  after(() => postgresql.stop());
  beforeEach(() => db.deleteFrom('jobs').execute());

  const ask = async (caller: string, times: number): Promise<void> => {
    await sql`INSERT INTO jobs (guid, operation, state, input, actor, errors, warnings, attempts)
      SELECT gen_random_uuid(), ${WORK}, 'PROCESSING', '{}', jsonb_build_object('guid', ${caller}::text, 'type', 'user',
        'name', ${caller}::text), '[]', '[]', 0 FROM generate_series(1, ${times}::integer)`.execute(db);
  };

  it('SECURITY 30: however many one caller has asked for, the next caller’s begin at once', async () => {
    await ask('flood', 50);
    const jobs = new Jobs(db, silentLog);
    const end = Promise.withResolvers<undefined>();
    const begun: string[] = [];
    const of = (caller: string) => begun.filter((one) => one === caller).length;
    jobs.register(WORK, async ({ actor }) => {
      begun.push(actor.guid);
      return actor.guid === 'flood' ? end.promise : undefined;
    });
    jobs.start();
    try {
      await eventually(() => of('flood') === 2);
      await ask('other', 3);
      await ask('third', 3);
      jobs.wake();
      await eventually(() => of('other') === 3 && of('third') === 3);
      assert.equal(of('flood'), 2, 'no more than half of the workers');
    } finally {
      end.resolve(undefined);
      await eventually(() => of('flood') === 50);
      await jobs.close();
    }
  });

  it('SECURITY 30: they go round by caller, each caller’s in the order of their making', async () => {
    for (const caller of ['a', 'b', 'c']) await ask(caller, 3);
    const order: string[] = [];
    const ids: number[] = [];
    for (let after = 'b'; ; ) {
      const job = await claimJob(db, [WORK], MINUTE, { after, passing: [] });
      if (!job) break;
      after = job.actor.guid;
      order.push(after);
      const { id } = await db.selectFrom('jobs').select('id').where('guid', '=', job.guid).executeTakeFirstOrThrow();
      if (after === 'a') ids.push(id);
      await finishJob(db, job.guid, { state: 'COMPLETE' });
    }
    assert.equal(order.join(''), 'cabcabcab');
    assert.deepEqual(
      ids,
      ids.toSorted((one, other) => one - other),
    );
  });

  it('one is taken by one worker at a time, and again once its lease is over', async () => {
    await ask('a', 4);
    const turn = { after: '', passing: [] };
    const taken = await Promise.all(Array.from({ length: 8 }, () => claimJob(db, [WORK], MINUTE, turn)));
    const guids = taken.flatMap((job) => job?.guid ?? []);
    assert.equal(new Set(guids).size, guids.length);
    while (guids.length < 4) guids.push((await claimJob(db, [WORK], MINUTE, turn))!.guid);
    assert.equal(new Set(guids).size, 4);
    assert.equal(await claimJob(db, [WORK], MINUTE, turn), null);
    assert.equal(await claimJob(db, ['other.work'], MINUTE, turn), null);
    await sql`UPDATE jobs SET locked_until = now() - interval '1 second' WHERE guid = ${guids[2]}`.execute(db);
    assert.equal((await claimJob(db, [WORK], MINUTE, { after: 'z', passing: [] }))?.guid, guids[2]);
  });

  it('the next one is found without a look at all that wait, nor at those of callers whose turn it is not', async () => {
    for (let caller = 0; caller < 20; caller += 1) await ask(`caller ${caller}`, 500);
    await sql`ANALYZE jobs`.execute(db);
    const passing = Array.from({ length: 19 }, (_, caller) => `caller ${caller}`);
    const scanned = await rowsScanned(db, async (trx) => {
      assert.equal((await claimJob(trx, [WORK], MINUTE, { after: 'caller 5', passing }))?.actor.guid, 'caller 19');
    });
    assert.equal(scanned.get('jobs'), 0);
  });
});

describe('jobs of the API', () => {
  let cc: TestCloudController;
  before(async () => {
    cc = await startTestCloudController();
  });
  after(() => cc.close());

  it('a job that a dead worker held is taken up again', async () => {
    const organization = (await cc.admin.post('/v3/organizations', { name: 'held' })).body.guid;
    const guid = await insertJob(cc.db, {
      operation: 'organization.delete',
      actor: { guid: 'x', type: 'user', name: 'x' },
      resource: { type: 'organization', guid: organization },
    });
    await cc.db
      .updateTable('jobs')
      .set({ locked_until: new Date(Date.now() - 1000), attempts: 1 })
      .where('guid', '=', guid)
      .execute();
    for (let attempt = 0; attempt < 200; attempt++) {
      const job = await cc.admin.get(`/v3/jobs/${guid}`);
      if (job.body.state === 'COMPLETE') break;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    assert.equal((await cc.admin.get(`/v3/organizations/${organization}`)).status, 404);
  });

  it('a job that meets an error which passes is tried again, and then does its work', async () => {
    const organization = (await cc.admin.post('/v3/organizations', { name: 'busy' })).body.guid;
    await sql`CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN RAISE EXCEPTION USING ERRCODE = ''40P01''; END'`.execute(cc.db);
    await sql`CREATE TRIGGER busy BEFORE DELETE ON organizations EXECUTE FUNCTION busy()`.execute(cc.db);
    const reply = await cc.admin.delete(`/v3/organizations/${organization}`);
    const tried = async () =>
      (await cc.db.selectFrom('jobs').selectAll().where('resource_guid', '=', organization).execute())[0];
    while (((await tried())?.attempts ?? 0) < 2) await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal((await tried())?.state, 'PROCESSING');
    await sql`DROP TRIGGER busy ON organizations`.execute(cc.db);
    await sql`DROP FUNCTION busy()`.execute(cc.db);
    assert.equal((await cc.admin.finished(reply)).body.state, 'COMPLETE');
    assert.equal((await cc.admin.get(`/v3/organizations/${organization}`)).status, 404);
  });
});
