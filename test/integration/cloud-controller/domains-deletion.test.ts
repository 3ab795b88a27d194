import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sql } from 'kysely';
import type { Trx } from '../../../src/cloud-controller/database.ts';
import { eventually, grant, newApp, newSpace, startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import { whileHeld } from '../../support/held.ts';

describe('a domain goes with the routes on it', () => {
  let f: TestFoundation;
  let owner: { organization: string; space: string };
  before(async () => {
    f = await startTestFoundation();
    const organization: string = (await f.cc.admin.post('/v3/organizations', { name: 'owner' })).body.guid;
    const space = await newSpace(f.cc, organization, 'dev');
    await grant(f.cc, f.developer, 'space_developer', organization, space);
    owner = { organization, space };
  });
  after(() => f.close());

  const on = (guid: string) => ({ data: { guid } });
  async function newDomain(name: string, organization: string | null): Promise<string> {
    const relationships = organization === null ? {} : { relationships: { organization: on(organization) } };
    const made = await f.cc.admin.post('/v3/domains', { name, ...relationships });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    return made.body.guid;
  }
  const route = (host: string, space: string, domain: string) =>
    f.cc.admin.post('/v3/routes', { host, relationships: { space: on(space), domain: on(domain) } });
  const addRoutes = (space: string, domain: string, count: number) =>
    sql`INSERT INTO routes (guid, space_guid, domain_guid, host, path, options)
      SELECT 'route-' || n || '-' || ${domain}, ${space}, ${domain}, 'host-' || n, '', '{}'
      FROM generate_series(1, ${count}::integer) AS n`.execute(f.cc.db);
  /** How many routes each transaction took away. */
  const batches = async (): Promise<number[]> => {
    const { rows } = await sql<{ n: number }>`SELECT count(*)::integer AS n FROM audit_events
      WHERE type = 'audit.route.delete-request' GROUP BY created_at ORDER BY created_at`.execute(f.cc.db);
    await f.cc.db.deleteFrom('audit_events').execute();
    return rows.map(({ n }) => n);
  };
  const remove = async (path: string) => {
    const job = await f.cc.admin.finished(await f.cc.admin.delete(path));
    assert.equal(job.body.state, 'COMPLETE', JSON.stringify(job.body));
  };

  it('SECURITY 30: in batches, whoever it belongs to, and meanwhile everybody makes routes', async () => {
    const other = await newDomain('beside.example.org', null);
    for (const [name, organization] of [
      ['shared.example.org', null],
      ['private.example.org', owner.organization],
    ] as const) {
      const domain = await newDomain(name, organization);
      await addRoutes(owner.space, domain, 250);
      await batches();
      const first = () => sql`SELECT FROM routes WHERE guid = ${`route-1-${domain}`} FOR UPDATE`;
      await whileHeld(
        f.cc.db,
        (trx) => first().execute(trx),
        () => remove(`/v3/domains/${domain}`),
        {
          last: async () => assert.equal((await route(name.slice(0, 6), f.space, other)).status, 201),
        },
      );
      assert.deepEqual(await batches(), [100, 100, 50], name);
      assert.equal((await f.cc.admin.get(`/v3/domains/${domain}`)).status, 404);
    }
  });

  it('SECURITY 30: with its organization, and other organizations see what became of theirs', async () => {
    const domain = await newDomain('given.example.org', owner.organization);
    const path = `/v3/domains/${domain}/relationships/shared_organizations`;
    assert.equal((await f.cc.admin.post(path, { data: [{ guid: f.organization }] })).status, 200);
    const app = await newApp(f, 'routed');
    const mapped = (await route('mapped', f.space, domain)).body.guid;
    const destinations = { destinations: [{ app: { guid: app } }] };
    assert.equal((await f.cc.admin.post(`/v3/routes/${mapped}/destinations`, destinations)).status, 200);
    await addRoutes(f.space, domain, 120);
    await batches();
    await remove(`/v3/organizations/${owner.organization}`);
    const events = await f.cc.db
      .selectFrom('audit_events')
      .select(['type', 'organization_guid as organization', 'target_guid as target'])
      .orderBy('id')
      .execute();
    const of = (type: string) => events.filter((event) => event.type === type);
    assert.deepEqual(of('audit.app.unmap-route'), [
      { type: 'audit.app.unmap-route', organization: f.organization, target: app },
    ]);
    const gone = of('audit.route.delete-request');
    assert.equal(gone.length, 121);
    assert.ok(gone.every(({ organization }) => organization === f.organization));
    assert.deepEqual(
      of('audit.domain.delete-request').map(({ organization, target }) => [organization, target]),
      [[owner.organization, domain]],
    );
    assert.deepEqual(await batches(), [100, 21]);
    assert.equal((await f.cc.admin.get(`/v3/routes/${mapped}`)).status, 404);
    await eventually(async () => (await f.cc.admin.get(`/v3/organizations/${owner.organization}`)).status === 404);
  });

  it('SECURITY 30: with a route and a domain that came meanwhile', async () => {
    const organization: string = (await f.cc.admin.post('/v3/organizations', { name: 'late' })).body.guid;
    const domain = await newDomain('late.example.org', organization);
    await batches();
    const coming = async (trx: Trx) => {
      await sql`SELECT pg_advisory_xact_lock_shared(hashtext('domain-names'))`.execute(trx);
      await sql`INSERT INTO routes (guid, space_guid, domain_guid, host, path, options)
        VALUES ('late', ${f.space}, ${domain}, 'late', '', '{}')`.execute(trx);
      await sql`INSERT INTO domains (guid, name, organization_guid)
        VALUES ('late', 'later.example.org', ${organization})`.execute(trx);
    };
    await whileHeld(f.cc.db, coming, () => remove(`/v3/organizations/${organization}`));
    const { rows } = await sql<{ type: string; target: string }>`SELECT type, target_guid AS target FROM audit_events
      WHERE type LIKE '%delete-request' ORDER BY id`.execute(f.cc.db);
    assert.deepEqual(
      rows.map(({ type, target }) => [type, target]),
      [
        ['audit.route.delete-request', 'late'],
        ['audit.domain.delete-request', domain],
        ['audit.domain.delete-request', 'late'],
        ['audit.organization.delete-request', organization],
      ],
    );
  });
});
