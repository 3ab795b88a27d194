import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Trx } from '../../../src/cloud-controller/database.ts';
import { guid } from '../../../src/cloud-controller/guid.ts';
import { startTestCloudController, type TestCloudController } from '../../support/cloud-controller.ts';

const APPS = 500;

describe('how long a list is', { timeout: 240_000 }, () => {
  let cc: TestCloudController;

  before(async () => {
    cc = await startTestCloudController();
  });
  after(() => cc.close());

  const total = async (path: string, who = cc.admin): Promise<number> =>
    (await who.get(path)).body.pagination.total_results;
  const made = async (name: string) =>
    guid<'organization'>((await cc.admin.post('/v3/organizations', { name })).body.guid);
  const add = (trx: Trx, name: string) =>
    sql`INSERT INTO organizations (guid, name, quota_guid)
      VALUES (${name}, ${name}, '00000000-0000-4000-8000-000000000001')`.execute(trx);
  async function there(table: 'organizations' | 'spaces' | 'apps' | 'routes'): Promise<number> {
    const { rows } = await sql<{ there: number }>`SELECT count(*) AS there FROM ${sql.table(table)}`.execute(cc.db);
    return rows[0]?.there ?? 0;
  }
  const entries = async (table: string): Promise<number> =>
    (await sql`SELECT FROM row_counts WHERE table_name = ${table}`.execute(cc.db)).rows.length;

  test('is exact after changes at once, one of which is taken back, and is known from a few entries', async () => {
    const guids = await Promise.all(Array.from({ length: 20 }, (_, number) => made(`at-once-${number}`)));
    await Promise.all([
      ...guids.slice(0, 8).map((one) => cc.db.deleteFrom('organizations').where('guid', '=', one).execute()),
      ...['a', 'b', 'c'].map((name) => made(`meanwhile-${name}`)),
      assert.rejects(
        cc.db.transaction().execute(async (trx) => {
          await trx.deleteFrom('organizations').where('guid', '=', guids[9]!).execute();
          throw new Error('taken back');
        }),
        /taken back/,
      ),
    ]);
    assert.equal(await there('organizations'), 15);
    assert.equal(await total('/v3/organizations'), 15);
    await made('one-more');
    assert.equal(await total('/v3/organizations'), 16);
    assert.ok((await entries('organizations')) <= 32, `${await entries('organizations')} entries`);
  });

  test('is exact for who looks while changes are not committed, and no change waits for another', async () => {
    const before = await total('/v3/organizations');
    await assert.rejects(
      cc.db.transaction().execute(async (first) => {
        await add(first, 'first');
        await add(first, 'first-too');
        await cc.db.transaction().execute(async (second) => {
          await sql`SET LOCAL lock_timeout = '2s'`.execute(second);
          await add(second, 'second');
          assert.equal(await total('/v3/organizations'), before, 'nothing is committed');
          await sql`SAVEPOINT part`.execute(second);
          await add(second, 'part');
          await sql`ROLLBACK TO SAVEPOINT part`.execute(second);
        });
        assert.equal(await total('/v3/organizations'), before + 1, 'the second is committed');
        await made('third');
        throw new Error('the first is taken back');
      }),
      /the first is taken back/,
    );
    assert.equal(await total('/v3/organizations'), before + 2);
    assert.equal(await there('organizations'), before + 2);
  });

  test('is exact in every snapshot while many change the list, and every third of them takes it back', async () => {
    let isOver = false;
    const writer = async (writer: number) => {
      for (let round = 0; round < 20; round++) {
        const change = cc.db.transaction().execute(async (trx) => {
          for (const part of ['a', 'b']) await add(trx, `snapshot-${writer}-${round}-${part}`);
          await sql`DELETE FROM organizations WHERE guid IN (${`snapshot-${writer}-${round - 1}-a`},
            ${`snapshot-${writer}-${round - 2}-a`})`.execute(trx);
          if ((writer + round) % 3 === 0) throw new Error('taken back');
        });
        await change.catch((error: Error) => assert.equal(error.message, 'taken back'));
      }
    };
    const reader = async () => {
      while (!isOver) {
        const { rows } = await sql<{ counted: number; known: number }>`SELECT
          (SELECT count(*) FROM organizations) AS counted,
          (SELECT sum(rows)::bigint FROM row_counts WHERE table_name = 'organizations') AS known`.execute(cc.db);
        assert.equal(rows[0]?.known, rows[0]?.counted);
      }
    };
    const writing = Promise.all(Array.from({ length: 8 }, (_, number) => writer(number))).finally(() => {
      isOver = true;
    });
    await Promise.all([writing, reader()]);
    assert.equal(await total('/v3/organizations'), await there('organizations'));
  });

  test('follows a space that goes with hundreds of apps and routes, and an organization that goes', async () => {
    const organization = await made('full');
    const space = (
      await cc.admin.post('/v3/spaces', {
        name: 'full',
        relationships: { organization: { data: { guid: organization } } },
      })
    ).body.guid;
    await sql`INSERT INTO apps (guid, name, space_guid, state, buildpacks, stack)
      SELECT gen_random_uuid()::text, 'app-' || n, ${space}, 'STOPPED', '{}', 'cflinuxfs4'
      FROM generate_series(1, ${APPS}) AS n`.execute(cc.db);
    await sql`INSERT INTO routes (guid, space_guid, domain_guid, host, path)
      SELECT gen_random_uuid()::text, ${space}, (SELECT guid FROM domains LIMIT 1), 'host-' || n, ''
      FROM generate_series(1, 100) AS n`.execute(cc.db);
    for (const [table, rows] of [
      ['spaces', 1],
      ['apps', APPS],
      ['routes', 100],
    ] as const) {
      assert.equal(await total(`/v3/${table}`), rows, table);
    }
    const deletion = await cc.admin.delete(`/v3/spaces/${space}`);
    assert.equal(deletion.status, 202);
    while ((await cc.admin.get(`/v3/spaces/${space}`)).status !== 404) await setTimeout(100);
    for (const table of ['spaces', 'apps', 'routes'] as const) {
      assert.deepEqual([table, await there(table), await total(`/v3/${table}`)], [table, 0, 0]);
    }
    const organizations = await total('/v3/organizations');
    await cc.admin.finished(await cc.admin.delete(`/v3/organizations/${organization}`));
    assert.equal(await total('/v3/organizations'), organizations - 1);
  });

  test('is counted where less is asked for or seen', async () => {
    const member = await cc.person('member');
    const [mine, other] = [await made('mine'), await made('other')];
    assert.equal(await total('/v3/organizations', member), 0);
    await sql`INSERT INTO users (guid) VALUES (${member.guid}) ON CONFLICT DO NOTHING`.execute(cc.db);
    await sql`INSERT INTO roles (guid, type, user_guid, organization_guid)
      VALUES (gen_random_uuid()::text, 'organization_user', ${member.guid}, ${mine})`.execute(cc.db);
    assert.equal(await total('/v3/organizations', member), 1);
    assert.equal(await total(`/v3/organizations?guids=${other}`, member), 0);
    assert.equal(await total(`/v3/organizations?guids=${other},${mine}`), 2);
    assert.equal(await total('/v3/organizations?names=mine,other,none'), 2);
    assert.equal(await total('/v3/organizations?label_selector=team=none'), 0);
    assert.equal(await total('/v3/organizations?created_ats[lt]=2000-01-01T00:00:00Z'), 0);
  });

  test('is nothing where all rows are gone at once, and goes on from there', async () => {
    await sql`TRUNCATE organizations CASCADE`.execute(cc.db);
    assert.equal(await total('/v3/organizations'), 0);
    await made('the-next');
    assert.equal(await total('/v3/organizations'), 1);
  });
});
