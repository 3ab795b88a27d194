import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Trx } from '../../../src/cloud-controller/database.ts';
import type { Guid } from '../../../src/cloud-controller/guid.ts';
import {
  type Person,
  type Reply,
  startTestCloudController,
  type TestCloudController,
} from '../../support/cloud-controller.ts';
import { whileHeld } from '../../support/held.ts';

/** An organization with the manager who claims names for it and a developer who makes its routes. */
interface Tenant {
  organization: Guid<'organization'>;
  space: Guid<'space'>;
  manager: Person;
}

let cc: TestCloudController;
let a: Tenant;
let b: Tenant;
before(async () => {
  cc = await startTestCloudController();
  a = await tenant('a');
  b = await tenant('b');
});
after(() => cc.close());

const on = (guid: string) => ({ data: { guid } });
const detail = (reply: Reply): string => reply.body?.errors?.[0]?.detail ?? '';

async function tenant(name: string): Promise<Tenant> {
  const organization = (await cc.admin.post('/v3/organizations', { name })).body.guid;
  const relationships = { organization: on(organization) };
  const space = (await cc.admin.post('/v3/spaces', { name, relationships })).body.guid;
  const manager = await cc.person(`manager of ${name}`);
  const user = on(manager.guid);
  for (const [type, place] of [
    ['organization_user', { organization: on(organization) }],
    ['organization_manager', { organization: on(organization) }],
    ['space_developer', { space: on(space) }],
  ] as const) {
    const reply = await cc.admin.post('/v3/roles', { type, relationships: { user, ...place } });
    assert.equal(reply.status, 201, JSON.stringify(reply.body));
  }
  return { organization, space, manager };
}

const claim = (by: Tenant, name: string): Promise<Reply> =>
  by.manager.post('/v3/domains', { name, relationships: { organization: on(by.organization) } });
const share = (name: string, more: object = {}): Promise<Reply> => cc.admin.post('/v3/domains', { name, ...more });
const route = (by: Tenant, domain: string, host: string): Promise<Reply> =>
  by.manager.post('/v3/routes', { host, relationships: { space: on(by.space), domain: on(domain) } });

describe('a name belongs to one owner, with everything below it (SECURITY 10)', () => {
  it('a tenant takes no name above a domain that the operator shares', async () => {
    assert.equal((await share('apps.operator.org')).status, 201);
    for (const name of ['operator.org']) {
      const reply = await claim(a, name);
      assert.equal(reply.status, 422, name);
      assert.match(
        detail(reply),
        /cannot be created because "apps\.operator\.org" is already reserved by another domain$/,
      );
    }
  });

  it('a tenant takes no system host, no name above or below one, no public suffix and no private-use name', async () => {
    for (const name of [
      'api.test.example',
      'x.api.test.example',
      'co.uk',
      'CO.UK',
      'github.io',
      'anything.ck',
      'xn--55qx5d.cn',
      'apps.internal',
      'web.apps.internal',
    ]) {
      const reply = await claim(a, name);
      assert.equal(reply.status, 422, name);
      assert.equal(detail(reply), `The "${name}" domain is reserved and cannot be used for org-scoped domains.`);
    }
    assert.equal((await claim(a, 'tenant.co.uk')).status, 201);
  });

  it('the operator shares a public suffix or a private-use name, and no system host', async () => {
    assert.equal((await share('apps.internal', { internal: true })).status, 201);
    assert.equal((await share('api.test.example')).status, 422);
    assert.equal((await share('deep.uaa.test.example')).status, 422);
  });

  it('a name below another tenant’s domain is neither another tenant’s nor shared by the operator', async () => {
    assert.equal((await claim(a, 'team.acme.org')).status, 201);
    for (const name of ['acme.org', 'deep.team.acme.org', 'very.deep.team.acme.org', 'team.acme.org']) {
      assert.equal((await claim(b, name)).status, 422, name);
    }
    assert.match(
      detail(await share('x.team.acme.org')),
      /because "team\.acme\.org" is already reserved by another domain$/,
    );
    assert.equal((await claim(a, 'deep.team.acme.org')).status, 201);
  });

  it('sharing a domain gives its routes and not the names below it', async () => {
    const made = await claim(a, 'given.org');
    const path = `/v3/domains/${made.body.guid}/relationships/shared_organizations`;
    assert.equal((await cc.admin.post(path, { data: [{ guid: b.organization }] })).status, 200);
    assert.equal((await route(b, made.body.guid, 'web')).status, 201);
    assert.equal((await claim(b, 'mine.given.org')).status, 422);
    const ended = await a.manager.delete(`${path}/${b.organization}`);
    assert.match(detail(ended), /^This domain has associated routes in this organization/);
  });

  it('no domain takes the host of somebody’s route, and no route the name of a domain', async () => {
    const shared = (await share('hosts.org')).body.guid;
    assert.equal((await route(a, shared, 'web')).status, 201);
    assert.match(detail(await claim(b, 'web.hosts.org')), /because "web\.hosts\.org" is already reserved by a route$/);
    assert.match(
      detail(await claim(b, 'deep.web.hosts.org')),
      /because "web\.hosts\.org" is already reserved by a route$/,
    );
    assert.match(detail(await share('web.hosts.org')), /is already reserved by a route$/);
    assert.equal((await claim(b, 'own.hosts.org')).status, 201);
    assert.equal(detail(await route(a, shared, 'own')), "Route conflicts with domain 'own.hosts.org'.");
    for (const host of ['x.own', '*.own', 'own.', '.own']) {
      assert.equal(detail(await route(a, shared, host)), 'Host format is invalid.', host);
    }
    assert.match(
      detail(await route(a, shared, '*')),
      /^You do not have sufficient permissions to create a route with a wildcard/,
    );
  });

  it('two tenants at once do not become owners of a name and of one below it', async () => {
    const pairs = Array.from({ length: 24 }, (_, index) => [`race${index}.org`, `apps.race${index}.org`] as const);
    const outcomes = await Promise.all(
      pairs.map(async ([parent, child]) => {
        const [above, below] = await Promise.all([claim(a, parent), claim(b, child)]);
        return [above.status, below.status].sort();
      }),
    );
    assert.deepEqual(
      outcomes,
      pairs.map(() => [201, 422]),
    );
  });

  it('a domain and a route of the same name do not both come about at once', async () => {
    const domains = await Promise.all(
      Array.from({ length: 24 }, async (_, index) => (await share(`both${index}.org`)).body.guid),
    );
    const outcomes = await Promise.all(
      domains.map(async (guid, index) => {
        const [claimed, routed] = await Promise.all([claim(a, `web.both${index}.org`), route(b, guid, 'web')]);
        return [claimed.status, routed.status].sort();
      }),
    );
    assert.deepEqual(
      outcomes,
      domains.map(() => [201, 422]),
    );
  });

  it('whatever order names are asked for in, nobody ends above or below somebody else', async () => {
    const names = ['p.org', 'a.p.org', 'b.p.org', 'a.a.p.org', 'b.a.p.org', 'a.b.p.org', 'b.b.a.p.org'];
    for (let turn = 0; turn < 8; turn++) {
      const suffix = `t${turn}.org`;
      const order = shuffled(names, turn).map((name) => name.replace(/p\.org$/, suffix));
      for (const [index, name] of order.entries()) {
        const owner = (index * 7 + turn) % 3;
        await (owner === 0 ? claim(a, name) : owner === 1 ? claim(b, name) : share(name));
      }
      const rows = await cc.db
        .selectFrom('domains')
        .select(['name', 'organization_guid'])
        .where('name', 'like', `%${suffix}`)
        .execute();
      assert.ok(rows.length > 0, suffix);
      for (const above of rows) {
        for (const below of rows) {
          if (!below.name.endsWith(`.${above.name}`) || above.organization_guid === null) continue;
          assert.equal(below.organization_guid, above.organization_guid, `${below.name} below ${above.name}`);
        }
      }
    }
  });

  it('who ends a sharing learns nothing of an organization that they do not see, not its name nor whether it is there', async () => {
    const relationships = { organization: on(a.organization) };
    const domain = (await cc.admin.post('/v3/domains', { name: 'unshared.example.test', relationships })).body.guid;
    const end = (guid: string) => a.manager.delete(`/v3/domains/${domain}/relationships/shared_organizations/${guid}`);
    for (const guid of [b.organization, crypto.randomUUID()]) {
      const reply = await end(guid);
      const sentence = `Organization with guid '${guid}' does not exist or you do not have access to it.`;
      assert.deepEqual([reply.status, detail(reply)], [422, sentence]);
    }
    assert.match(detail(await end(a.organization)), /^Unable to unshare domain from organization with name 'a'/);
  });
});

describe('domains', () => {
  it('a private domain is used only by its owner and those it is shared to', async () => {
    const owner = await tenant('owner');
    const guest = await tenant('guest');
    const domain = (
      await cc.admin.post('/v3/domains', {
        name: 'own.acme.io',
        relationships: { organization: on(owner.organization) },
      })
    ).body.guid;
    const routeIn = (space: string) =>
      cc.admin.post('/v3/routes', { host: 'x', relationships: { space: on(space), domain: on(domain) } });
    assert.match(
      detail(await routeIn(guest.space)),
      /^Invalid domain. Domain 'own.acme.io' is not available in organization/,
    );
    const share = `/v3/domains/${domain}/relationships/shared_organizations`;
    assert.equal((await cc.admin.post(share, { data: [{ guid: guest.organization }] })).status, 200);
    assert.equal((await routeIn(guest.space)).status, 201);
    assert.match(detail(await cc.admin.delete(`${share}/${guest.organization}`)), /associated routes/);
    const gone = await cc.admin.finished(await cc.admin.delete(`/v3/organizations/${owner.organization}`));
    assert.equal(gone.body.state, 'COMPLETE', JSON.stringify(gone.body));
    assert.equal((await cc.admin.get(`/v3/routes?space_guids=${guest.space}`)).body.pagination.total_results, 0);
  });

  it('SECURITY 10: whoever names a domain that they do not see is told as if there were none', async () => {
    const owner = await tenant('unseen');
    const claimed = await claim(owner, 'unseen.acme.io');
    assert.equal(claimed.status, 201);
    const unseen = claimed.body.guid;
    assert.equal((await a.manager.get(`/v3/domains/${unseen}`)).status, 404);
    for (const guid of [unseen, crypto.randomUUID()]) {
      const { status, body } = await route(a, guid, 'x');
      assert.deepEqual(
        [status, body.errors.map((error: { detail: string }) => error.detail)],
        [422, ['Invalid domain. Ensure that the domain exists and you have access to it.']],
      );
    }
    await cc.admin.post(`/v3/domains/${unseen}/relationships/shared_organizations`, {
      data: [{ guid: a.organization }],
    });
    assert.equal((await route(a, unseen, 'x')).status, 201);
  });

  it('a route is reserved as it is taken: whatever the case of its path, and its last slash', async () => {
    const domain = (await claim(a, 'reserved.acme.io')).body.guid;
    const relationships = { space: on(a.space), domain: on(domain) };
    for (const [host, path] of [
      ['plain', ''],
      ['shop', '/Cart'],
      ['slash', '/cart/'],
    ] as const) {
      assert.equal((await a.manager.post('/v3/routes', { host, path, relationships })).status, 201, path);
    }
    const wrong: string[] = [];
    for (const [host, path, expected] of [
      ['plain', '', true],
      ['Plain', '/', true],
      ['plain', '/cart', false],
      ['shop', '/cart', true],
      ['shop', '/CART/', true],
      ['shop', '/cart/x', false],
      ['slash', '/cart', true],
      ['slash', '/Cart/', true],
    ] as const) {
      const reserved = `/v3/domains/${domain}/route_reservations?host=${host}&path=${path}`;
      const { body } = await a.manager.get(reserved);
      if (body.matching_route !== expected) wrong.push(`${host} ${path}`);
    }
    assert.deepEqual(wrong, []);
  });

  it('SECURITY 10: no domain is one that clients take for an address', async () => {
    const relationships = { organization: on(a.organization) };
    for (const name of [
      '127.0.0.1',
      '169.254.169.254',
      '1.2.3.4',
      '127.1',
      '0x7f.1',
      'a.0x7f',
      '0177.0.0.01',
      'a.example.1',
      'example.0X',
    ]) {
      for (const body of [{ name, relationships }, { name }]) {
        const reply = await cc.admin.post('/v3/domains', body);
        assert.equal(reply.status, 422, name);
        assert.match(detail(reply), /^Name must not be an IP address, or end in a number as one does/, name);
      }
    }
    for (const name of ['127.0.0.1.example.com', '1.2.3.4.5e', '0x.example.com']) {
      assert.equal((await cc.admin.post('/v3/domains', { name, relationships })).status, 201, name);
    }
  });

  it('a domain that is shared meanwhile is not deleted, and routes of others on it stay', async () => {
    const domain = (await claim(a, 'shared-meanwhile.org')).body.guid;
    const made = (await route(a, domain, 'stays')).body.guid;
    const sharing = async (trx: Trx) => {
      await trx
        .insertInto('domain_shared_organizations')
        .values({ domain_guid: domain, organization_guid: b.organization })
        .execute();
      await trx.selectFrom('routes').select('guid').where('guid', '=', made).forUpdate().execute();
    };
    const deleted = async () => cc.admin.finished(await cc.admin.delete(`/v3/domains/${domain}`));
    const job = await whileHeld(cc.db, sharing, deleted);
    assert.equal(job.body.state, 'FAILED');
    assert.match(job.body.errors[0].detail, /shared with other organizations/);
    assert.equal((await cc.admin.get(`/v3/routes/${made}`)).status, 200);
  });
});

/** The same order for the same seed. */
function shuffled<T>(items: readonly T[], seed: number): T[] {
  const result = [...items];
  let state = seed * 2_654_435_761 + 1;
  for (let index = result.length - 1; index > 0; index--) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    const other = state % (index + 1);
    [result[index], result[other]] = [result[other]!, result[index]!];
  }
  return result;
}
