import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import {
  type Person,
  type Reply,
  startTestCloudController,
  type TestCloudController,
} from '../../support/cloud-controller.ts';
import { on } from '../../support/role-world.ts';

describe('routes', () => {
  let cc: TestCloudController;
  before(async () => {
    cc = await startTestCloudController();
  });
  after(() => cc.close());

  const detail = (reply: Reply): string => reply.body.errors[0].detail;
  let serial = 0;

  async function makeSpace(): Promise<{ organization: string; space: string; name: string; domain: string }> {
    const name = `n${++serial}`;
    const organization = (await cc.admin.post('/v3/organizations', { name })).body.guid;
    const space = await cc.admin.post('/v3/spaces', { name, relationships: { organization: on(organization) } });
    const domain = (await cc.admin.get('/v3/domains?names=test.example')).body.resources[0].guid;
    return { organization, space: space.body.guid, name, domain };
  }

  it('a route keeps the option it is given, and one that the router cannot do is refused', async () => {
    const { space, domain } = await makeSpace();
    const relationships = { space: on(space), domain: on(domain) };
    const make = (options: object) => cc.admin.post('/v3/routes', { host: 'optional', relationships, options });
    assert.match(detail(await make({ loadbalancing: 'least-connection' })), /'least-connection' is not available/);
    assert.equal(detail(await make({ hash_header: 'x' })), "Options Unknown field(s): 'hash_header'");
    const made = await make({ loadbalancing: 'round-robin' });
    assert.deepEqual([made.status, made.body.options], [201, { loadbalancing: 'round-robin' }]);
    const path = `/v3/routes/${made.body.guid}`;
    assert.deepEqual((await cc.admin.patch(path, { metadata: {} })).body.options, { loadbalancing: 'round-robin' });
    assert.deepEqual((await cc.admin.patch(path, { options: { loadbalancing: null } })).body.options, {});
  });

  it('nobody claims a system host, somebody else’s host or a name that shadows another domain (SECURITY 10)', async () => {
    const a = await makeSpace();
    const b = await makeSpace();
    const managers = new Map<string, Person>();
    for (const { organization, space, name } of [a, b]) {
      const manager = await cc.person(`manager-${name}`);
      for (const [type, place] of [
        ['organization_user', { organization: on(organization) }],
        ['organization_manager', { organization: on(organization) }],
        ['space_developer', { space: on(space) }],
      ] as const) {
        const relationships = { user: on(manager.guid), ...place };
        assert.equal((await cc.admin.post('/v3/roles', { type, relationships })).status, 201);
      }
      for (const guid of [organization, space]) managers.set(guid, manager);
    }
    const route = (space: string, body: object) =>
      managers.get(space)!.post('/v3/routes', { relationships: { space: on(space), domain: on(a.domain) }, ...body });
    for (const host of ['api', 'UAA', 'log-cache']) {
      assert.equal(detail(await route(a.space, { host })), 'Route conflicts with a reserved system route.');
    }
    assert.equal((await route(a.space, { host: 'web' })).status, 201);
    assert.equal(
      detail(await route(a.space, { host: 'web' })),
      "Route already exists with host 'web' for domain 'test.example'.",
    );
    // The router looks without regard to case and to a last slash: such paths are one route.
    assert.equal((await route(a.space, { host: 'web', path: '/Case' })).status, 201);
    for (const path of ['/case', '/CASE', '/case/']) {
      assert.equal(
        detail(await route(a.space, { host: 'web', path })),
        `Route already exists with host 'web' and path '${path}' for domain 'test.example'.`,
      );
    }
    assert.equal((await route(a.space, { host: 'web', path: "/par;m=1,'()!*$&+=:@~%2F" })).status, 201);
    assert.equal(
      detail(await route(b.space, { host: 'web', path: '/admin' })),
      'Routes for this host and domain have been reserved for another space.',
    );
    assert.equal((await route(a.space, { host: 'web', path: '/v1' })).status, 201);
    for (const path of ['v1', '/', '/a?b', '/a b', `/${'x'.repeat(200)}`]) {
      assert.equal((await route(a.space, { host: 'other', path })).status, 422, path);
    }
    assert.equal(detail(await route(a.space, { host: 'a.b' })), 'Host format is invalid.');
    assert.match(detail(await route(a.space, {})), /^Missing host/);

    const domain = (organization: string, name: string) =>
      managers.get(organization)!.post('/v3/domains', { name, relationships: { organization: on(organization) } });
    for (const name of ['api.test.example', 'x.api.test.example', 'example.']) {
      assert.equal((await domain(a.organization, name)).status, 422, name);
    }
    assert.match(detail(await domain(b.organization, 'web.test.example')), /already reserved by a route/);
    assert.equal((await domain(a.organization, 'team.acme.org')).status, 201);
    for (const name of ['deep.team.acme.org', 'acme.org', 'team.acme.org']) {
      assert.equal((await domain(b.organization, name)).status, 422, name);
    }
    assert.equal((await domain(a.organization, 'deep.team.acme.org')).status, 201);
    const wildcard = await route(a.space, { host: '*' });
    assert.match(detail(wildcard), /wildcard host on a domain not scoped/);
  });

  it('routes never exceed a quota, however many are asked for at once (SECURITY 30)', async () => {
    const { organization, space, domain, name } = await makeSpace();
    const quota = await cc.admin.post('/v3/organization_quotas', {
      name: 'three routes',
      routes: { total_routes: 3 },
      relationships: { organizations: { data: [{ guid: organization }] } },
    });
    assert.equal(quota.status, 201, JSON.stringify(quota.body));
    const replies = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        cc.admin.post('/v3/routes', { host: `q${index}`, relationships: { space: on(space), domain: on(domain) } }),
      ),
    );
    assert.equal(replies.filter((reply) => reply.status === 201).length, 3);
    const refusal = replies.find((reply) => reply.status === 422)!;
    assert.equal(detail(refusal), `Routes quota exceeded for organization '${name}'.`);
    const used = await cc.admin.get(`/v3/organizations/${organization}/usage_summary`);
    assert.equal(used.body.usage_summary.routes, 3);
  });
});

describe('HTTP/2 to apps, where the operator has not switched it on', () => {
  let f: TestFoundation;
  before(async () => {
    f = await startTestFoundation({ http2Apps: false });
  });
  after(() => f.close());

  it('SECURITY 6: is refused at every door, in words; a destination that has it can be taken back to http1', async () => {
    const { developer } = f;
    const space = { data: { guid: f.space } };
    const app = (await developer.post('/v3/apps', { name: 'web', relationships: { space } })).body.guid;
    const [domain] = (await developer.get('/v3/domains')).body.resources;
    const relationships = { space, domain: { data: { guid: domain.guid } } };
    const route = (await developer.post('/v3/routes', { host: 'web', relationships })).body.guid;
    const destinations = [{ app: { guid: app }, protocol: 'http2' }];
    const plain = { destinations: [{ app: { guid: app } }] };
    const [made] = (await developer.post(`/v3/routes/${route}/destinations`, plain)).body.destinations;
    const manifest = `applications: [{name: web, routes: [{route: web.${domain.name}, protocol: http2}]}]`;
    const yaml = { 'content-type': 'application/x-yaml' };
    const answers = [
      await developer.post(`/v3/routes/${route}/destinations`, { destinations: [{ ...destinations[0], port: 9000 }] }),
      await developer.patch(`/v3/routes/${route}/destinations`, { destinations }),
      await developer.patch(`/v3/routes/${route}/destinations/${made.guid}`, { protocol: 'http2' }),
      await developer.request('POST', `/v3/spaces/${f.space}/actions/apply_manifest`, manifest, yaml),
      await developer.request('POST', `/v3/spaces/${f.space}/manifest_diff`, manifest, yaml),
    ];
    for (const { status, body } of answers) {
      assert.equal(status, 422, JSON.stringify(body));
      assert.match(body.errors[0].detail, /'http2' is switched off on this platform/);
    }
    const after = (await developer.get(`/v3/routes/${route}/destinations`)).body.destinations;
    assert.deepEqual(
      after.map(({ protocol }: { protocol: string }) => protocol),
      ['http1'],
    );
    const back = await developer.patch(`/v3/routes/${route}/destinations/${made.guid}`, { protocol: 'http1' });
    assert.equal(back.status, 200);
  });
});
