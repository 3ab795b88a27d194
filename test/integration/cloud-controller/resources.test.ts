import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { insertJob } from '../../../src/cloud-controller/jobs/store.ts';
import { egressRulesOf } from '../../../src/cloud-controller/security-groups/store.ts';
import { Logger } from '../../../src/kit/log.ts';
import { type Reply, startTestCloudController, type TestCloudController } from '../../support/cloud-controller.ts';

describe('the resources of orgs and spaces', () => {
  let cc: TestCloudController;
  const logged: string[] = [];
  before(async () => {
    cc = await startTestCloudController({ log: new Logger('cc', {}, (line) => logged.push(line)) });
  });
  after(() => cc.close());

  const on = (guid: string) => ({ data: { guid } });
  const detail = (reply: Reply): string => reply.body.errors[0].detail;
  let serial = 0;

  async function makeSpace(): Promise<{ organization: string; space: string; name: string; domain: string }> {
    const name = `n${++serial}`;
    const organization = (await cc.admin.post('/v3/organizations', { name })).body.guid;
    const space = await cc.admin.post('/v3/spaces', { name, relationships: { organization: on(organization) } });
    const domain = (await cc.admin.get('/v3/domains?names=test.example')).body.resources[0].guid;
    return { organization, space: space.body.guid, name, domain };
  }

  it('a space role needs a role in the organization; names and repeats are answered in the words the CLI knows', async () => {
    const { organization, space, name } = await makeSpace();
    const user = await cc.person('Dora');
    const inSpace = {
      type: 'space_developer',
      relationships: { user: { data: { username: 'dora' } }, space: on(space) },
    };
    const early = await cc.admin.post('/v3/roles', inSpace);
    assert.equal(early.status, 422);
    assert.match(detail(early), /^Users cannot be assigned roles in a space if they do not have a role/);
    const inOrganization = {
      type: 'organization_user',
      relationships: { user: { data: { guid: user.guid } }, organization: on(organization) },
    };
    const first = await cc.admin.post('/v3/roles', inOrganization);
    assert.equal(first.status, 201);
    const again = await cc.admin.post('/v3/roles', inOrganization);
    assert.equal(detail(again), `User 'Dora' already has 'organization_user' role in organization '${name}'.`);
    const role = await cc.admin.post('/v3/roles', inSpace);
    assert.equal(role.status, 201, JSON.stringify(role.body));
    const blocked = await cc.admin.delete(`/v3/roles/${first.body.guid}`);
    assert.match(detail(blocked), /^Cannot delete organization_user role while user has roles in spaces/);
    const unknown = await cc.admin.post('/v3/roles', {
      ...inOrganization,
      relationships: { ...inOrganization.relationships, user: { data: { username: 'nobody' } } },
    });
    assert.equal(detail(unknown), "No user exists with the username 'nobody'.");
    const listed = await user.get(`/v3/roles?space_guids=${space}&include=user,space`);
    assert.equal(listed.body.resources.length, 1);
    assert.equal(listed.body.included.users[0].username, 'Dora');
    assert.equal(listed.body.included.spaces[0].guid, space);
    assert.equal(
      (await cc.admin.finished(await cc.admin.delete(`/v3/roles/${role.body.guid}`))).body.state,
      'COMPLETE',
    );
    const events = await cc.admin.get(`/v3/audit_events?target_guids=${user.guid}&order_by=created_at`);
    assert.deepEqual(
      events.body.resources.map((event: { type: string }) => event.type),
      ['audit.user.organization_user_add', 'audit.user.space_developer_add', 'audit.user.space_developer_remove'],
    );
  });

  it('a manager of one organization gives no roles in another, and a space manager none in the organization', async () => {
    const mine = await makeSpace();
    const other = await makeSpace();
    const manager = await cc.person('mona');
    const give = (type: string, place: object, guid: string) => ({
      type,
      relationships: { user: { data: { guid } }, ...place },
    });
    await cc.admin.post('/v3/roles', give('organization_user', { organization: on(mine.organization) }, manager.guid));
    await cc.admin.post('/v3/roles', give('space_manager', { space: on(mine.space) }, manager.guid));
    const up = give('organization_manager', { organization: on(mine.organization) }, manager.guid);
    assert.equal((await manager.post('/v3/roles', up)).status, 403);
    const out = give('space_manager', { space: on(other.space) }, manager.guid);
    assert.equal((await manager.post('/v3/roles', out)).status, 422);
    assert.equal(
      (await manager.post('/v3/roles', give('space_developer', { space: on(mine.space) }, manager.guid))).status,
      201,
    );
  });

  it('nobody claims a system host, somebody else’s host or a name that shadows another domain (SECURITY 10)', async () => {
    const a = await makeSpace();
    const b = await makeSpace();
    const route = (space: string, body: object) =>
      cc.admin.post('/v3/routes', { relationships: { space: on(space), domain: on(a.domain) }, ...body });
    for (const host of ['api', 'UAA', 'log-cache']) {
      assert.equal(detail(await route(a.space, { host })), 'Route conflicts with a reserved system route.');
    }
    assert.equal((await route(a.space, { host: 'web' })).status, 201);
    assert.equal(
      detail(await route(a.space, { host: 'web' })),
      "Route already exists with host 'web' for domain 'test.example'.",
    );
    assert.match(detail(await route(b.space, { host: 'web', path: '/admin' })), /^Route already exists/);
    assert.equal((await route(a.space, { host: 'web', path: '/v1' })).status, 201);
    for (const path of ['v1', '/', '/a?b', '/a b', `/${'x'.repeat(200)}`]) {
      assert.equal((await route(a.space, { host: 'other', path })).status, 422, path);
    }
    assert.equal(detail(await route(a.space, { host: 'a.b' })), 'Host format is invalid.');
    assert.match(detail(await route(a.space, {})), /^Missing host/);

    const domain = (organization: string, name: string) =>
      cc.admin.post('/v3/domains', { name, relationships: { organization: on(organization) } });
    for (const name of ['api.test.example', 'x.api.test.example', 'example.']) {
      assert.equal((await domain(a.organization, name)).status, 422, name);
    }
    assert.match(detail(await domain(b.organization, 'web.test.example')), /already reserved by a route/);
    assert.equal((await domain(a.organization, 'team.acme.org')).status, 201);
    for (const name of ['deep.team.acme.org', 'acme.org', 'team.acme.org']) {
      assert.equal((await domain(b.organization, name)).status, 422, name);
    }
    assert.equal((await domain(a.organization, 'deep.team.acme.org')).status, 201);
    const developer = await cc.person('devi');
    for (const [type, place] of [
      ['organization_user', { organization: on(a.organization) }],
      ['space_developer', { space: on(a.space) }],
    ] as const) {
      await cc.admin.post('/v3/roles', { type, relationships: { user: { data: { guid: developer.guid } }, ...place } });
    }
    const wildcard = await developer.post('/v3/routes', {
      host: '*',
      relationships: { space: on(a.space), domain: on(a.domain) },
    });
    assert.match(detail(wildcard), /wildcard host on a domain not scoped/);
  });

  it('a private domain is used only by its owner and those it is shared to', async () => {
    const owner = await makeSpace();
    const guest = await makeSpace();
    const domain = (
      await cc.admin.post('/v3/domains', {
        name: 'own.acme.io',
        relationships: { organization: on(owner.organization) },
      })
    ).body.guid;
    const route = (space: string) =>
      cc.admin.post('/v3/routes', { host: 'x', relationships: { space: on(space), domain: on(domain) } });
    assert.match(
      detail(await route(guest.space)),
      /^Invalid domain. Domain 'own.acme.io' is not available in organization/,
    );
    const share = `/v3/domains/${domain}/relationships/shared_organizations`;
    assert.equal((await cc.admin.post(share, { data: [{ guid: guest.organization }] })).status, 200);
    assert.equal((await route(guest.space)).status, 201);
    assert.match(detail(await cc.admin.delete(`${share}/${guest.organization}`)), /associated routes/);
    const gone = await cc.admin.finished(await cc.admin.delete(`/v3/organizations/${owner.organization}`));
    assert.equal(gone.body.state, 'COMPLETE', JSON.stringify(gone.body));
    assert.equal((await cc.admin.get(`/v3/routes?space_guids=${guest.space}`)).body.pagination.total_results, 0);
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

  it('a space has the rules of the global groups and of those bound to it', async () => {
    const { space } = await makeSpace();
    const rules = [{ protocol: 'tcp', destination: '10.0.0.0/24', ports: '443' }];
    const group = (await cc.admin.post('/v3/security_groups', { name: `g-${space}`, rules })).body.guid;
    const before = await egressRulesOf(cc.db, space, 'running');
    assert.ok(before.some((rule) => rule.ports === '53'));
    assert.ok(!before.some((rule) => rule.destination.includes('10.0.0.0')));
    await cc.admin.post(`/v3/security_groups/${group}/relationships/running_spaces`, { data: [{ guid: space }] });
    assert.ok((await egressRulesOf(cc.db, space, 'running')).some((rule) => rule.destination === '10.0.0.0/24'));
    assert.ok(!(await egressRulesOf(cc.db, space, 'staging')).some((rule) => rule.destination === '10.0.0.0/24'));
  });

  it('what an environment variable group holds is unreadable in the database, the log and the events (CC-02, SECURITY 28)', async () => {
    const planted = 'planted-secret-value';
    const reply = await cc.admin.patch('/v3/environment_variable_groups/running', { var: { TOKEN: planted } });
    assert.equal(reply.body.var.TOKEN, planted);
    const rows = await cc.db.selectFrom('environment_variable_groups').selectAll().execute();
    assert.ok(rows.length === 1 && rows.every((row) => !row.data.toString('latin1').includes(planted)));
    assert.ok(!JSON.stringify(await cc.db.selectFrom('audit_events').selectAll().execute()).includes(planted));
    assert.ok(!logged.join('').includes(planted));
  });

  it('events are seen by those who see the place they happened in (AUD-01)', async () => {
    const { organization, space } = await makeSpace();
    const stranger = await cc.person('eve');
    const auditor = await cc.person('audrey');
    await cc.admin.post('/v3/roles', {
      type: 'organization_auditor',
      relationships: { user: { data: { guid: auditor.guid } }, organization: on(organization) },
    });
    const path = `/v3/audit_events?organization_guids=${organization}`;
    assert.equal((await stranger.get(path)).body.pagination.total_results, 0);
    const seen = (await auditor.get(path)).body.resources.map((event: { type: string }) => event.type);
    assert.ok(seen.includes('audit.organization.create'), String(seen));
    const created = (await cc.admin.get(`/v3/audit_events?space_guids=${space}&types=audit.space.create`)).body;
    assert.equal(created.resources.length, 1);
    assert.equal(created.resources[0].actor.name, 'admin');
    assert.equal((await stranger.get(`/v3/audit_events/${created.resources[0].guid}`)).status, 404);
  });

  it('a job that a dead worker held is taken up again', async () => {
    const { organization } = await makeSpace();
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

  it('malformed and oversized requests are refused in the API’s own words (SECURITY 25)', async () => {
    const raw = (body: string) => cc.admin.request('POST', '/v3/organizations', body);
    const broken = await raw('{"name":');
    assert.equal(broken.status, 400);
    assert.equal(broken.body.errors[0].title, 'CF-MessageParseError');
    assert.equal((await raw('['.repeat(100_000))).status, 400);
    assert.equal((await raw(`{"name":"${'x'.repeat(1_200_000)}"}`)).status, 413);
    assert.equal(detail(await raw('{}')), "Name can't be blank");
    assert.equal(detail(await raw('{"name":"a","nope":1}')), "Unknown field(s): 'nope'");
    assert.equal(detail(await raw('{"name":7}')), 'Name must be a string');
    const unknown = await cc.admin.get('/v3/nothing');
    assert.deepEqual(unknown.body.errors, [{ code: 10000, title: 'CF-NotFound', detail: 'Unknown request' }]);
    assert.match(unknown.headers.get('x-vcap-request-id') ?? '', /./);
    assert.equal((await cc.admin.get(`/v3/organizations?per_page=99999999999999`)).status, 400);
  });

  it('an unexpected failure says nothing of the inside', async () => {
    await cc.db.schema.alterTable('isolation_segments').renameTo('isolation_segments_away').execute();
    const reply = await cc.admin.get('/v3/isolation_segments');
    await cc.db.schema.alterTable('isolation_segments_away').renameTo('isolation_segments').execute();
    assert.equal(reply.status, 500);
    assert.deepEqual(reply.body.errors, [
      { code: 10001, title: 'CF-UnknownError', detail: 'An unknown error occurred.' },
    ]);
    assert.ok(logged.some((line) => line.includes('an operation failed') && line.includes('isolation_segments')));
  });
});
