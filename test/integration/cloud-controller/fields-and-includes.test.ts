import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { FIELDS, type FieldId } from '../../../src/cloud-controller/permissions.ts';
import { ALL_ROLES, type Role } from '../../../src/cloud-controller/role-names.ts';
import { grant, runningApp, startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import { type Person, READ_WRITE, type Reply } from '../../support/cloud-controller.ts';
import { freshName } from '../../support/role-world.ts';

const HIDDEN = '[PRIVATE DATA HIDDEN]';
const HIDDEN_IN_LISTS = '[PRIVATE DATA HIDDEN IN LISTS]';

describe('what each role sees of what it sees (SECURITY 21, RBAC-02, RBAC-04)', () => {
  let foundation: TestFoundation;
  let app: string;
  let droplet: string;
  let task: string;
  let sidecar: string;
  let revision: string;
  const people = new Map<Role, Person>();

  before(async () => {
    foundation = await startTestFoundation();
    const { cc, developer, organization, space } = foundation;
    app = await runningApp(foundation, 'field-app');
    await developer.patch(`/v3/apps/${app}/environment_variables`, { var: { PLACE: 'here' } });
    await developer.patch(`/v3/processes/${app}`, { command: 'run with-a-secret' });
    droplet = (await developer.get(`/v3/apps/${app}/droplets/current`)).body.guid;
    task = (await developer.post(`/v3/apps/${app}/tasks`, { command: 'task with-a-secret' })).body.guid;
    const beside = { name: 'beside', command: 'sidecar', process_types: ['web'] };
    sidecar = (await developer.post(`/v3/apps/${app}/sidecars`, beside)).body.guid;
    revision = (await developer.get(`/v3/apps/${app}/revisions`)).body.resources[0].guid;
    const owned = {
      name: 'private.field.example.org',
      relationships: { organization: { data: { guid: organization } } },
    };
    assert.equal((await cc.admin.post('/v3/domains', owned)).status, 201);
    for (const role of ALL_ROLES) {
      const scope = { admin: 'admin', admin_read_only: 'admin_read_only', global_auditor: 'global_auditor' }[
        role as string
      ];
      const person = await cc.person(role, scope ? [...READ_WRITE, `cloud_controller.${scope}`] : READ_WRITE);
      people.set(role, person);
      if (scope) continue;
      await person.get('/v3/organizations');
      await grant(cc, person, role, organization, role.startsWith('space_') ? space : undefined).catch((error) => {
        // The organization's own user role is given first, and is the one asked for here.
        if (role !== 'organization_user') throw error;
      });
    }
  });
  after(() => foundation.close());

  /** Reads each field, or tries to set it; gives whether the caller could. */
  const ATTEMPTS: Record<FieldId, (person: Person) => Promise<boolean>> = {
    'organization.suspended': async (person) =>
      passes(await person.patch(`/v3/organizations/${foundation.organization}`, { suspended: false })),
    'organization.private_domains': async (person) => {
      const listed = await person.get(
        `/v3/organizations/${foundation.organization}/domains?names=private.field.example.org`,
      );
      return listed.body.resources.length === 1;
    },
    'domain.shared': async (person) => passes(await person.post('/v3/domains', { name: `${freshName()}.example.org` })),
    'process.command': async (person) => {
      const byGuid = shown(await person.get(`/v3/processes/${app}`), (body) => body.command);
      const byType = shown(await person.get(`/v3/apps/${app}/processes/web`), (body) => body.command);
      assert.equal(byGuid, byType);
      return byGuid;
    },
    'droplet.process_types': async (person) => {
      const alone = shown(await person.get(`/v3/droplets/${droplet}`), (body) => body.process_types);
      assert.equal(
        shown(await person.get(`/v3/apps/${app}/droplets/current`), (body) => body.process_types),
        alone,
      );
      return alone;
    },
    'droplet.execution_metadata': async (person) =>
      shown(await person.get(`/v3/droplets/${droplet}`), (body) => body.execution_metadata),
    'task.command': async (person) => {
      const alone = shown(await person.get(`/v3/tasks/${task}`), (body) => body.command);
      const listed = shown(await person.get(`/v3/apps/${app}/tasks`), (body) => body.resources[0].command);
      assert.equal(alone, listed);
      return alone;
    },
    'sidecar.command': async (person) => shown(await person.get(`/v3/sidecars/${sidecar}`), (body) => body.command),
    'revision.processes': async (person) =>
      shown(await person.get(`/v3/revisions/${revision}`), (body) => body.processes),
    'app.env.system_env_json': async (person) =>
      shown(await person.get(`/v3/apps/${app}/env`), (body) => body.system_env_json),
    'app.permissions.read_sensitive_data': async (person) =>
      (await person.get(`/v3/apps/${app}/permissions`)).body.read_sensitive_data === true,
    'app.features.ssh': (person) => setsFeature(person, 'ssh'),
    'app.features.revisions': (person) => setsFeature(person, 'revisions'),
    'app.features.rolling-restarts': (person) => setsFeature(person, 'rolling-restarts'),
  };

  function shown(reply: Reply, field: (body: Reply['body']) => unknown): boolean {
    if (reply.status !== 200) {
      assert.ok([403, 404].includes(reply.status), JSON.stringify(reply.body));
      return false;
    }
    const value = field(reply.body);
    if (value === undefined || value === HIDDEN) return false;
    return JSON.stringify(value) !== JSON.stringify({ redacted_message: HIDDEN });
  }

  async function setsFeature(person: Person, name: string): Promise<boolean> {
    return passes(await person.patch(`/v3/apps/${app}/features/${name}`, { enabled: true }));
  }

  function passes(reply: Reply): boolean {
    assert.ok([200, 201, 403, 404].includes(reply.status), JSON.stringify(reply.body));
    return reply.status < 300;
  }

  for (const field of Object.keys(FIELDS) as FieldId[]) {
    it(`${field} is for those the table names`, async () => {
      const seen: Role[] = [];
      for (const role of ALL_ROLES) if (await ATTEMPTS[field](people.get(role)!)) seen.push(role);
      assert.deepEqual(seen.toSorted(), [...FIELDS[field]].toSorted());
    });
  }

  it('lists hide commands from everybody, also where there is none', async () => {
    for (const role of ['admin', 'space_developer', 'space_auditor'] as const) {
      for (const path of ['/v3/processes', `/v3/apps/${app}/processes`]) {
        const { resources } = (await people.get(role)!.get(path)).body;
        assert.ok(resources.length >= 2, path);
        for (const row of resources) assert.equal(row.command, HIDDEN_IN_LISTS, `${role} ${path} ${row.type}`);
      }
      const [listed] = (await people.get(role)!.get('/v3/droplets')).body.resources;
      assert.deepEqual(listed.process_types, { redacted_message: HIDDEN_IN_LISTS });
      assert.equal((await people.get(role)!.get('/v3/tasks')).body.resources[0].command, undefined);
    }
  });

  it('events of a space are seen by its auditors, developers and supporters and by the organization’s auditors', async () => {
    const [event] = (await foundation.cc.admin.get(`/v3/audit_events?target_guids=${app}`)).body.resources;
    const seeing = ALL_ROLES.slice();
    const seen: Role[] = [];
    for (const role of seeing) {
      const person = people.get(role)!;
      const alone = (await person.get(`/v3/audit_events/${event.guid}`)).status === 200;
      const { total_results: total } = (await person.get(`/v3/audit_events?target_guids=${app}`)).body.pagination;
      assert.equal(total > 0, alone, role);
      if (alone) seen.push(role);
    }
    assert.deepEqual(seen.toSorted(), [
      'admin',
      'admin_read_only',
      'global_auditor',
      'organization_auditor',
      'space_auditor',
      'space_developer',
      'space_supporter',
    ]);
  });

  it('whatever is included, a role gets no more than its own lists show', async () => {
    const { cc, space } = foundation;
    const domain = (await cc.admin.get('/v3/domains?names=test.example')).body.resources[0].guid;
    const on = (guid: string) => ({ data: { guid } });
    const made = await cc.admin.post('/v3/routes', {
      host: 'included',
      relationships: { space: on(space), domain: on(domain) },
    });
    assert.equal(made.status, 201);
    let shownSpaces = 0;
    for (const role of ALL_ROLES) {
      const person = people.get(role)!;
      const own = new Map<string, Set<string>>();
      for (const kind of ['spaces', 'organizations', 'domains', 'users']) {
        const { resources } = (await person.get(`/v3/${kind}?per_page=5000`)).body;
        own.set(kind, new Set(resources.map((row: { guid: string }) => row.guid)));
      }
      for (const path of [
        '/v3/routes?include=domain,space,space.organization',
        `/v3/routes/${made.body.guid}?include=domain,space,space.organization`,
        '/v3/roles?include=user,organization,space',
        '/v3/spaces?include=organization',
        '/v3/apps?include=space,org,space.organization',
      ]) {
        const reply = await person.get(path);
        if (reply.status === 404) continue;
        assert.equal(reply.status, 200, `${role} ${path}`);
        for (const [kind, rows] of Object.entries<{ guid: string }[]>(reply.body.included)) {
          for (const { guid } of rows) assert.ok(own.get(kind)!.has(guid), `${role} ${path}: ${kind} ${guid}`);
          if (kind === 'spaces') shownSpaces += rows.length;
        }
      }
    }
    assert.ok(shownSpaces > 0);
  });
});
