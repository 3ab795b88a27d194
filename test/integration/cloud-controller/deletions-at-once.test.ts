import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sql } from 'kysely';
import type { Trx } from '../../../src/cloud-controller/database.ts';
import { type Guid, newGuid } from '../../../src/cloud-controller/guid.ts';
import { insertDestination } from '../../../src/cloud-controller/routes/store.ts';
import {
  grant,
  newApp,
  newPackage,
  newSpace,
  stage,
  startTestFoundation,
  type TestFoundation,
} from '../../support/apps.ts';
import type { Reply } from '../../support/cloud-controller.ts';
import { lock, whileHeld } from '../../support/held.ts';
import { on, type Thing } from '../../support/role-world.ts';
import { cc, eventTypesAfter, lastEvent, maker, suiteHasAWorld, world } from '../../support/suite.ts';

/** What is deleted, by its path; what of it waits while it is locked. */
const DELETIONS: readonly { thing: Thing; table: string; path?: string }[] = [
  { thing: 'organizations', table: 'organizations' },
  { thing: 'spaces', table: 'spaces' },
  { thing: 'organization_quotas', table: 'organization_quotas' },
  { thing: 'space_quotas', table: 'space_quotas' },
  { thing: 'domains', table: 'domains' },
  { thing: 'routes', table: 'routes' },
  { thing: 'security_groups', table: 'security_groups' },
  { thing: 'isolation_segments', table: 'isolation_segments' },
  { thing: 'space_role', table: 'roles', path: 'roles' },
  { thing: 'users', table: 'users' },
  { thing: 'sidecars', table: 'sidecars' },
  { thing: 'packages', table: 'packages' },
  { thing: 'droplets', table: 'droplets' },
  { thing: 'apps', table: 'apps' },
  { thing: 'buildpacks', table: 'buildpacks' },
];

describe('deletions at once', () => {
  suiteHasAWorld();

  /** The state of the job that was asked for; of what is done at once, its status. */
  const ended = async (reply: Reply): Promise<string> =>
    reply.status === 202 ? (await cc.admin.finished(reply)).body.state : String(reply.status);

  for (const { thing, table, path = thing } of DELETIONS) {
    it(`AUD-01: ${thing} deleted by two at once leave the events of one deletion`, async () => {
      const guid = await maker.spare(thing, world);
      if (thing === 'isolation_segments') {
        await cc.admin.delete(`/v3/isolation_segments/${guid}/relationships/organizations/${world.organizations}`);
      }
      const before = await lastEvent();
      const twice = () => Promise.all([1, 2].map(async () => ended(await cc.admin.delete(`/v3/${path}/${guid}`))));
      const ends = await whileHeld(cc.db, lock(table, guid), twice, { waiting: 2 });
      assert.ok(
        ends.every((end) => ['COMPLETE', '204', '404'].includes(end)),
        ends.join(' '),
      );
      const events = await eventTypesAfter(before);
      assert.deepEqual(
        events.filter((type, index) => events.indexOf(type) !== index),
        [],
        events.join(' '),
      );
      assert.ok(events.length > 0);
    });
  }

  it('AUD-01: an end of a sharing, an assignment or a quota that two ask for leaves one event', async () => {
    const quota = await maker.spare('space_quotas', world);
    const applied = { data: [{ guid: world.spaces }] };
    await cc.admin.post(`/v3/space_quotas/${quota}/relationships/spaces`, applied);
    for (const [path, locked] of [
      [`/v3/space_quotas/${quota}/relationships/spaces/${world.spaces}`, lock('spaces', world.spaces)],
      [
        `/v3/domains/${world.domains}/relationships/shared_organizations/${world.elsewhere}`,
        (trx: Trx) =>
          sql`SELECT domain_guid FROM domain_shared_organizations WHERE domain_guid = ${world.domains} FOR UPDATE`.execute(
            trx,
          ),
      ],
    ] as const) {
      const before = await lastEvent();
      const twice = () => Promise.all([1, 2].map(async () => (await cc.admin.delete(path)).status));
      assert.deepEqual((await whileHeld(cc.db, locked, twice, { waiting: 2 })).sort(), [204, 422], path);
      assert.equal((await eventTypesAfter(before)).length, 1, path);
    }
  });

  it('AUD-01: whoever binds, shares or applies nothing leaves no event', async () => {
    const group = await maker.spare('security_groups', world);
    const before = await lastEvent();
    for (const [path, guids] of [
      [`/v3/security_groups/${group}/relationships/running_spaces`, []],
      [`/v3/security_groups/${group}/relationships/staging_spaces`, [world.spaces]],
      [`/v3/domains/${world.domains}/relationships/shared_organizations`, []],
      [`/v3/organization_quotas/${world.organization_quotas}/relationships/organizations`, []],
      [`/v3/space_quotas/${world.space_quotas}/relationships/spaces`, []],
    ] as const) {
      const reply = await cc.admin.post(path, { data: guids.map((guid) => ({ guid })) });
      assert.equal(reply.status, 200, `${path} ${JSON.stringify(reply.body)}`);
    }
    assert.deepEqual(await eventTypesAfter(before), []);
  });

  it('an app is deleted in as many statements, however much hangs on it', async () => {
    await sql`CREATE TABLE statements (what text)`.execute(cc.db);
    await sql`CREATE FUNCTION count_statement() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN INSERT INTO statements VALUES (TG_TABLE_NAME); RETURN NULL; END$$`.execute(cc.db);
    for (const [table, verb] of [
      ['audit_events', 'INSERT'],
      ['stored_blobs', 'DELETE'],
    ] as const) {
      await sql`CREATE TRIGGER counted AFTER ${sql.raw(verb)} ON ${sql.table(table)}
        FOR EACH STATEMENT EXECUTE FUNCTION count_statement()`.execute(cc.db);
    }
    const counts: number[] = [];
    for (const packages of [1, 40]) {
      const app = await maker.spare('apps', world);
      const rows = Array.from({ length: packages }, () => {
        return { guid: newGuid<'package'>(), app_guid: app, state: 'READY' as const };
      });
      await cc.db.insertInto('packages').values(rows).execute();
      await maker.spare('destination', { ...world, apps: app });
      if (packages > 1) await maker.spare('destination', { ...world, apps: app });
      await sql`DELETE FROM statements`.execute(cc.db);
      const before = await lastEvent();
      await cc.admin.finished(await cc.admin.delete(`/v3/apps/${app}`));
      const events = await eventTypesAfter(before);
      assert.equal(events.filter((type) => type === 'audit.app.package.delete').length, packages);
      assert.equal(events.filter((type) => type === 'audit.app.unmap-route').length, packages > 1 ? 2 : 1);
      counts.push((await sql`SELECT FROM statements`.execute(cc.db)).rows.length);
    }
    assert.equal(counts[1], counts[0]);
  });
});

let names = 0;
const freshName = (): string => `gone-${names++}`;

/** Makes what is named, and gives how it goes and the request that names it. */
type Case = (f: TestFoundation) => Promise<{ remove: (trx: Trx) => Promise<unknown>; ask: () => Promise<Reply> }>;

const removeApp = (guid: Guid<'app'>) => (trx: Trx) => trx.deleteFrom('apps').where('guid', '=', guid).execute();

async function domainOf({ cc }: TestFoundation): Promise<Guid<'domain'>> {
  return (await cc.admin.post('/v3/domains', { name: `${freshName()}.example.test` })).body.guid;
}

async function routeOf(f: TestFoundation): Promise<Guid<'route'>> {
  const relationships = { space: on(f.space), domain: on(await domainOf(f)) };
  return (await f.developer.post('/v3/routes', { host: freshName(), relationships })).body.guid;
}

const CASES: Record<string, Case> = {
  'the app of a package that is staged': async (f) => {
    const app = await newApp(f, freshName());
    const guid = await newPackage(f, app);
    return { remove: removeApp(app), ask: () => f.developer.post('/v3/builds', { package: { guid } }) };
  },
  'the app that gets a package': async (f) => {
    const app = await newApp(f, freshName());
    const body = { type: 'bits', relationships: { app: on(app) } };
    return { remove: removeApp(app), ask: () => f.developer.post('/v3/packages', body) };
  },
  'the app that a package is copied to': async (f) => {
    const source = await newPackage(f, await newApp(f, freshName()));
    const app = await newApp(f, freshName());
    const ask = () => f.developer.post(`/v3/packages?source_guid=${source}`, { relationships: { app: on(app) } });
    return { remove: removeApp(app), ask };
  },
  'the app that a droplet is copied to': async (f) => {
    const source = await stage(f, await newApp(f, freshName()));
    const app = await newApp(f, freshName());
    const ask = () => f.developer.post(`/v3/droplets?source_guid=${source}`, { relationships: { app: on(app) } });
    return { remove: removeApp(app), ask };
  },
  'the space of a route': async (f) => {
    const space = await newSpace(f.cc, f.organization, freshName());
    const relationships = { space: on(space), domain: on(await domainOf(f)) };
    return {
      remove: (trx) => trx.deleteFrom('spaces').where('guid', '=', space).execute(),
      ask: () => f.cc.admin.post('/v3/routes', { host: freshName(), relationships }),
    };
  },
  'the domain of a route': async (f) => {
    const domain = await domainOf(f);
    const relationships = { space: on(f.space), domain: on(domain) };
    return {
      remove: (trx) => trx.deleteFrom('domains').where('guid', '=', domain).execute(),
      ask: () => f.developer.post('/v3/routes', { host: freshName(), relationships }),
    };
  },
  'the app of a destination': async (f) => {
    const [app, route] = [await newApp(f, freshName()), await routeOf(f)];
    const body = { destinations: [{ app: { guid: app } }] };
    return { remove: removeApp(app), ask: () => f.developer.post(`/v3/routes/${route}/destinations`, body) };
  },
  'the route of a destination': async (f) => {
    const [app, route] = [await newApp(f, freshName()), await routeOf(f)];
    const body = { destinations: [{ app: { guid: app } }] };
    return {
      remove: (trx) => trx.deleteFrom('routes').where('guid', '=', route).execute(),
      ask: () => f.developer.post(`/v3/routes/${route}/destinations`, body),
    };
  },
  'the space of an app': async (f) => {
    const space = await newSpace(f.cc, f.organization, freshName());
    return {
      remove: (trx) => trx.deleteFrom('spaces').where('guid', '=', space).execute(),
      ask: () => f.cc.admin.post('/v3/apps', { name: freshName(), relationships: { space: on(space) } }),
    };
  },
  'the organization of a space': async (f) => {
    const guid = (await f.cc.admin.post('/v3/organizations', { name: freshName() })).body.guid;
    return {
      remove: (trx) => trx.deleteFrom('organizations').where('guid', '=', guid).execute(),
      ask: () => f.cc.admin.post('/v3/spaces', { name: freshName(), relationships: { organization: on(guid) } }),
    };
  },
};

describe('what a request names and somebody deletes at the same time', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation();
  });
  after(() => f.close());

  /** A route, and how a mapping to it comes in a transaction. */
  async function mapped(): Promise<{ space: string; route: Guid<'route'>; map: (trx: Trx) => Promise<void> }> {
    const space = await newSpace(f.cc, f.organization, freshName());
    await grant(f.cc, f.developer, 'space_developer', f.organization, space);
    const own = { ...f, space };
    const [appGuid, route] = [await newApp(own, freshName()), await routeOf(own)];
    const map = async (trx: Trx) => {
      await lock('routes', route)(trx);
      await insertDestination(trx, route, { appGuid, processType: 'web', port: 8080, protocol: 'http1' });
    };
    return { space, route, map };
  }

  it('a route that is mapped while unmapped ones are deleted stays', async () => {
    const { space, route, map } = await mapped();
    const path = `/v3/spaces/${space}/routes?unmapped=true`;
    const job = await whileHeld(f.cc.db, map, async () => f.cc.admin.finished(await f.cc.admin.delete(path)));
    assert.equal(job.body.state, 'COMPLETE');
    const { status, body } = await f.cc.admin.get(`/v3/routes/${route}`);
    assert.deepEqual([status, body.destinations?.length], [200, 1]);
  });

  it('AUD-01: a mapping that comes while its route is deleted goes with it, and leaves its event', async () => {
    const { space, route, map } = await mapped();
    const path = `/v3/routes/${route}`;
    const job = await whileHeld(f.cc.db, map, async () => f.cc.admin.finished(await f.cc.admin.delete(path)));
    assert.equal(job.body.state, 'COMPLETE');
    assert.equal((await f.cc.admin.get(path)).status, 404);
    const events = await f.cc.db
      .selectFrom('audit_events')
      .select('type')
      .where('space_guid', '=', space)
      .where('type', 'like', '%route%')
      .orderBy('id')
      .execute();
    assert.deepEqual(
      events.map(({ type }) => type),
      ['audit.route.create', 'audit.app.unmap-route', 'audit.route.delete-request'],
    );
  });

  for (const [what, prepare] of Object.entries(CASES)) {
    it(`${what} is missing as it is once it is gone`, async () => {
      const { remove, ask } = await prepare(f);
      const said = ({ status, body }: Reply) => [status, body.errors?.[0]?.detail];
      const meanwhile = said(await whileHeld(f.cc.db, remove, ask));
      assert.deepEqual(meanwhile, said(await ask()));
      assert.ok(meanwhile[0] === 404 || meanwhile[0] === 422, meanwhile.join(' '));
    });
  }
});
