import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  ALL_ROLES,
  type GLOBAL_ROLES,
  type OperationId,
  permissionOf,
  type Role,
  type Rule,
} from '../../../src/cloud-controller/permissions.ts';
import { insertRole } from '../../../src/cloud-controller/roles/store.ts';
import { insertUser } from '../../../src/cloud-controller/users/store.ts';
import {
  type Person,
  READ_WRITE,
  type Reply,
  startTestCloudController,
  type TestCloudController,
} from '../../support/cloud-controller.ts';

interface World {
  organization: string;
  space: string;
  route: string;
  domain: string;
  privateDomain: string;
  quota: string;
  event: string;
}

/** An operation on that world, and what an invisible resource answers (422 where a body names it). */
interface Attempt {
  id: OperationId;
  at: 'organization' | 'space';
  path: (world: World) => string;
  body?: (world: World) => unknown;
  invisible?: number;
  destroys?: boolean;
}

const on = (guid: string) => ({ data: { guid } });
const org =
  (suffix = '') =>
  (world: World) =>
    `/v3/organizations/${world.organization}${suffix}`;
const space =
  (suffix = '') =>
  (world: World) =>
    `/v3/spaces/${world.space}${suffix}`;
const route =
  (suffix = '') =>
  (world: World) =>
    `/v3/routes/${world.route}${suffix}`;
let serial = 0;
const fresh = (): string => `made-${++serial}`;

const ATTEMPTS: readonly Attempt[] = [
  { id: 'GET /v3/organizations/:guid', at: 'organization', path: org() },
  { id: 'PATCH /v3/organizations/:guid', at: 'organization', path: org(), body: () => ({}) },
  { id: 'GET /v3/organizations/:guid/usage_summary', at: 'organization', path: org('/usage_summary') },
  { id: 'GET /v3/organizations/:guid/users', at: 'organization', path: org('/users') },
  { id: 'GET /v3/organizations/:guid/domains', at: 'organization', path: org('/domains') },
  {
    id: 'PATCH /v3/organizations/:guid/relationships/default_isolation_segment',
    at: 'organization',
    path: org('/relationships/default_isolation_segment'),
    body: () => ({ data: null }),
  },
  {
    id: 'POST /v3/spaces',
    at: 'organization',
    path: () => '/v3/spaces',
    body: (world) => ({ name: fresh(), relationships: { organization: on(world.organization) } }),
    invisible: 422,
  },
  {
    id: 'POST /v3/domains',
    at: 'organization',
    path: () => '/v3/domains',
    body: (world) => ({ name: `${fresh()}.example.org`, relationships: { organization: on(world.organization) } }),
    invisible: 422,
  },
  { id: 'GET /v3/domains/:guid', at: 'organization', path: (world) => `/v3/domains/${world.privateDomain}` },
  {
    id: 'PATCH /v3/domains/:guid',
    at: 'organization',
    path: (world) => `/v3/domains/${world.privateDomain}`,
    body: () => ({}),
  },
  {
    id: 'POST /v3/space_quotas',
    at: 'organization',
    path: () => '/v3/space_quotas',
    body: (world) => ({ name: fresh(), relationships: { organization: on(world.organization) } }),
    invisible: 422,
  },
  { id: 'GET /v3/spaces/:guid', at: 'space', path: space() },
  { id: 'PATCH /v3/spaces/:guid', at: 'space', path: space(), body: () => ({}) },
  { id: 'GET /v3/spaces/:guid/users', at: 'space', path: space('/users') },
  { id: 'GET /v3/spaces/:guid/features/:name', at: 'space', path: space('/features/ssh') },
  {
    id: 'PATCH /v3/spaces/:guid/features/:name',
    at: 'space',
    path: space('/features/ssh'),
    body: () => ({ enabled: true }),
  },
  { id: 'GET /v3/spaces/:guid/running_security_groups', at: 'space', path: space('/running_security_groups') },
  {
    id: 'PATCH /v3/spaces/:guid/relationships/isolation_segment',
    at: 'space',
    path: space('/relationships/isolation_segment'),
    body: () => ({ data: null }),
  },
  {
    id: 'POST /v3/routes',
    at: 'space',
    path: () => '/v3/routes',
    body: (world) => ({ host: fresh(), relationships: { space: on(world.space), domain: on(world.domain) } }),
    invisible: 422,
  },
  { id: 'GET /v3/routes/:guid', at: 'space', path: route() },
  { id: 'PATCH /v3/routes/:guid', at: 'space', path: route(), body: () => ({}) },
  { id: 'GET /v3/routes/:guid/destinations', at: 'space', path: route('/destinations') },
  {
    id: 'PATCH /v3/routes/:guid/destinations',
    at: 'space',
    path: route('/destinations'),
    body: () => ({ destinations: [] }),
  },
  { id: 'DELETE /v3/routes/:guid', at: 'space', path: route(), destroys: true },
  { id: 'DELETE /v3/spaces/:guid', at: 'space', path: space(), destroys: true },
  { id: 'DELETE /v3/organizations/:guid', at: 'organization', path: org(), destroys: true },
];

const SCOPES: Readonly<Record<string, string>> = {
  admin: 'cloud_controller.admin',
  admin_read_only: 'cloud_controller.admin_read_only',
  global_auditor: 'cloud_controller.global_auditor',
};

function ruleOf(id: OperationId): Rule {
  const permission = permissionOf(id);
  assert.ok('see' in permission && 'may' in permission, id);
  return permission;
}

describe('who may do what (RBAC-01, RBAC-02, RBAC-03, RBAC-04, SECURITY 21)', () => {
  let cc: TestCloudController;
  before(async () => {
    cc = await startTestCloudController();
  });
  after(() => cc.close());

  async function makeWorld(): Promise<World> {
    const made = async (path: string, body: unknown): Promise<string> => {
      const reply = await cc.admin.post(path, body);
      assert.equal(reply.status, 201, JSON.stringify(reply.body));
      return reply.body.guid;
    };
    const organization = await made('/v3/organizations', { name: fresh() });
    const relationships = { organization: on(organization) };
    const spaceGuid = await made('/v3/spaces', { name: fresh(), relationships });
    const domain = (await cc.admin.get('/v3/domains?names=test.example')).body.resources[0].guid;
    return {
      organization,
      space: spaceGuid,
      domain,
      privateDomain: await made('/v3/domains', { name: `${fresh()}.example.org`, relationships }),
      route: await made('/v3/routes', { host: fresh(), relationships: { space: on(spaceGuid), domain: on(domain) } }),
      quota: await made('/v3/space_quotas', { name: fresh(), relationships }),
      event: '',
    };
  }

  async function holder(role: Role, world: World): Promise<Person> {
    const scope = SCOPES[role];
    const person = await cc.person(fresh(), scope ? [...READ_WRITE, scope] : READ_WRITE);
    if (scope) return person;
    await insertUser(cc.db, person.guid);
    const place = role.startsWith('space_') ? { spaceGuid: world.space } : { organizationGuid: world.organization };
    await insertRole(cc.db, {
      type: role as Exclude<Role, (typeof GLOBAL_ROLES)[number]>,
      userGuid: person.guid,
      ...place,
    });
    return person;
  }

  async function attempt(person: Person, at: Attempt, world: World): Promise<Reply> {
    const reply = await person.request(at.id.split(' ')[0]!, at.path(world), at.body?.(world));
    if (reply.status === 202) assert.equal((await cc.admin.finished(reply)).body.state, 'COMPLETE');
    return reply;
  }

  for (const role of ALL_ROLES) {
    it(`${role}: each operation answers what the table says, and a suspended organization is read only`, async () => {
      const world = await makeWorld();
      const person = await holder(role, world);
      const elsewhere = await makeWorld();
      const allowed: Attempt[] = [];
      for (const at of ATTEMPTS) {
        const { see, may } = ruleOf(at.id);
        // Reading elsewhere: a role counts in its own place only.
        const other = await attempt(person, at.destroys && role === 'admin' ? ATTEMPTS[0]! : at, elsewhere);
        if (!SCOPES[role]) assert.equal(other.status, at.invisible ?? 404, `${role} elsewhere: ${at.id}`);
        if (may.includes(role)) {
          allowed.push(at);
          continue;
        }
        const reply = await attempt(person, at, world);
        const expected = see.includes(role) ? 403 : (at.invisible ?? 404);
        assert.equal(reply.status, expected, `${role}: ${at.id} ${JSON.stringify(reply.body)}`);
        if (expected === 403) assert.equal(reply.body.errors[0].title, 'CF-NotAuthorized');
        if (expected === 404) assert.equal(reply.body.errors[0].code, 10010);
      }
      await cc.admin.patch(`/v3/organizations/${world.organization}`, { suspended: true });
      for (const at of allowed) {
        if (role === 'admin' || at.id.startsWith('GET ')) continue;
        const reply = await attempt(person, at, world);
        assert.equal(reply.status, 403, `${role} suspended: ${at.id}`);
        assert.equal(reply.body.errors[0].title, 'CF-OrgSuspended');
      }
      await cc.admin.patch(`/v3/organizations/${world.organization}`, { suspended: false });
      for (const at of allowed) {
        const reply = await attempt(person, at, world);
        assert.ok(reply.status < 300, `${role}: ${at.id} ${reply.status} ${JSON.stringify(reply.body)}`);
      }
    });
  }

  it('lists show each role what it may see and nothing else', async () => {
    const world = await makeWorld();
    const totals = async (person: Person, path: string): Promise<number> => {
      const reply = await person.get(path);
      assert.equal(reply.status, 200, `${path} ${JSON.stringify(reply.body)}`);
      return reply.body.pagination.total_results;
    };
    const all = await totals(cc.admin, '/v3/organizations');
    for (const role of ALL_ROLES) {
      const person = await holder(role, world);
      const everything = SCOPES[role] !== undefined;
      assert.equal(await totals(person, '/v3/organizations'), everything ? all : 1, role);
      const sees = (id: OperationId): boolean => ruleOf(id).see.includes(role);
      const spaces = await totals(person, '/v3/spaces');
      const routes = await totals(person, '/v3/routes');
      const privateDomains = await totals(person, `/v3/domains?organization_guids=${world.organization}`);
      if (everything) continue;
      assert.equal(spaces, sees('GET /v3/spaces/:guid') ? 1 : 0, role);
      assert.equal(routes, sees('GET /v3/routes/:guid') ? 1 : 0, role);
      assert.equal(privateDomains, sees('GET /v3/domains/:guid') ? 1 : 0, role);
      assert.equal(await totals(person, '/v3/domains?names=test.example'), 1, role);
    }
  });

  it('without a token nothing but the root answers; a token without the scope reads and writes nothing', async () => {
    const world = await makeWorld();
    for (const path of ['/', '/v3', '/v3/info', '/v2/info']) {
      assert.equal((await cc.anonymous.get(path)).status, 200, path);
    }
    const bare = await cc.person('bare', ['openid']);
    const reader = await cc.person('reader', ['cloud_controller.read', 'cloud_controller.admin_read_only']);
    for (const at of ATTEMPTS) {
      const reply = await attempt(cc.anonymous, at, world);
      assert.equal(reply.status, 401, at.id);
      assert.equal(reply.body.errors[0].title, 'CF-NotAuthenticated');
      assert.equal((await attempt(bare, at, world)).status, 403, at.id);
      if (!at.id.startsWith('GET ')) assert.equal((await attempt(reader, at, world)).status, 403, at.id);
    }
    const garbled = await cc.anonymous.request('GET', '/v3/organizations', undefined, {
      authorization: 'bearer a.b.c',
    });
    assert.equal(garbled.status, 401);
    assert.equal(garbled.body.errors[0].code, 1000);
  });

  it('a client whose id is the guid of a user has nothing of that user (SECURITY 23)', async () => {
    const world = await makeWorld();
    const manager = await holder('organization_manager', world);
    const thief = await cc.client(manager.guid, READ_WRITE);
    assert.equal((await thief.get(`/v3/organizations/${world.organization}`)).status, 404);
    assert.equal((await thief.get('/v3/organizations')).body.pagination.total_results, 0);
    const client = await cc.client('deployer', READ_WRITE);
    await client.get('/v3/organizations');
    await insertRole(cc.db, {
      type: 'organization_manager',
      userGuid: 'deployer',
      organizationGuid: world.organization,
    });
    assert.equal((await client.get(`/v3/organizations/${world.organization}`)).status, 200);
  });
});
