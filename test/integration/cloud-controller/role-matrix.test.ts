import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type OperationId, permissionOf } from '../../../src/cloud-controller/permissions.ts';
import { operations } from '../../../src/cloud-controller/resources.ts';
import {
  ALL_ROLES,
  type GlobalRole,
  type OrganizationRole,
  type Role,
  type SpaceRole,
} from '../../../src/cloud-controller/role-names.ts';
import { insertRole } from '../../../src/cloud-controller/roles/store.ts';
import { insertUser } from '../../../src/cloud-controller/users/store.ts';
import { startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import { type Person, READ_WRITE, type TestCloudController } from '../../support/cloud-controller.ts';
import {
  bodyOf,
  type Cell,
  destroyed,
  expected,
  HOLDERS,
  type Holder,
  LINES,
  type Line,
  NAMED_BY_BODY,
  NOT_DRIVEN,
  pathOf,
  titleOf,
} from '../../support/role-matrix.ts';
import { freshName, type World, WorldMaker } from '../../support/role-world.ts';

const GOLDEN = new URL('./role-matrix.golden.txt', import.meta.url);

/** Read off the v3 API reference ("Permitted roles") by hand: who is let through. */
const BY_HAND: Readonly<Record<string, string>> = {
  'PATCH /v3/apps/:guid': 'admin space_developer',
  'POST /v3/apps/:guid/actions/start': 'admin space_developer space_supporter',
  'GET /v3/apps/:guid/env': 'admin admin_read_only space_developer space_supporter',
  'POST /v3/apps/:guid/tasks': 'admin space_developer',
  'GET /v3/audit_events/:guid (of space)':
    'admin admin_read_only global_auditor organization_auditor space_auditor space_developer space_supporter',
  'PATCH /v3/buildpacks/:guid': 'admin',
  'PATCH /v3/domains/:guid': 'admin organization_manager',
  'GET /v3/droplets/:guid/download':
    'admin admin_read_only global_auditor organization_manager space_auditor space_developer space_manager',
  'DELETE /v3/organizations/:guid': 'admin',
  'PATCH /v3/organizations/:guid': 'admin organization_manager',
  'GET /v3/packages/:guid/download': 'admin space_developer',
  'GET /v3/revisions/:guid/environment_variables': 'admin admin_read_only space_developer',
  'DELETE /v3/roles/:guid (of space)': 'admin organization_manager space_manager',
  'GET /v3/routes/:guid':
    'admin admin_read_only global_auditor organization_auditor organization_manager space_auditor space_developer space_manager space_supporter',
  'PATCH /v3/security_groups/:guid': 'admin',
  'DELETE /v3/spaces/:guid': 'admin organization_manager',
  'PATCH /v3/spaces/:guid': 'admin organization_manager space_manager',
  'POST /v3/tasks/:guid/actions/cancel': 'admin space_developer space_supporter',
};

const COLUMNS: Readonly<Record<Holder, string>> = {
  admin: 'admin',
  admin_read_only: 'adm-ro',
  global_auditor: 'g-aud',
  organization_user: 'o-user',
  organization_auditor: 'o-aud',
  organization_manager: 'o-mgr',
  organization_billing_manager: 'o-bill',
  space_auditor: 's-aud',
  space_developer: 's-dev',
  space_manager: 's-mgr',
  space_supporter: 's-supp',
  outsider: 'other',
};

const LEGEND = `Who gets what from which operation. "other" holds every role in another organization.
ok: let through (*: not where the organization is suspended). 403: refused. 404: as if it were not there.
422: what the body names is as if it were not there.
`;

const SCOPES: Readonly<Record<GlobalRole, string>> = {
  admin: 'cloud_controller.admin',
  admin_read_only: 'cloud_controller.admin_read_only',
  global_auditor: 'cloud_controller.global_auditor',
};
const isGlobal = (holder: Holder): holder is GlobalRole => holder in SCOPES;

interface Raw {
  status: number;
  title: string;
  detail: string;
}

describe('who may do what (RBAC-01, RBAC-02, RBAC-03, RBAC-04, SECURITY 21)', () => {
  let foundation: TestFoundation;
  let cc: TestCloudController;
  let maker: WorldMaker;
  before(async () => {
    foundation = await startTestFoundation();
    cc = foundation.cc;
    maker = new WorldMaker(foundation);
  });
  after(() => foundation.close());

  /** A person with this role in each of the worlds. */
  async function holder(role: Role, ...worlds: World[]): Promise<Person> {
    if (isGlobal(role)) return cc.person(freshName(), [...READ_WRITE, SCOPES[role]]);
    const person = await cc.person(freshName());
    await cc.db.transaction().execute((trx) => insertUser(trx, person.guid));
    for (const world of worlds) await give(person, role, world);
    return person;
  }

  async function give(person: Person, type: OrganizationRole | SpaceRole, world: World): Promise<void> {
    const place = type.startsWith('space_') ? { spaceGuid: world.spaces } : { organizationGuid: world.organizations };
    await cc.db.transaction().execute((trx) => insertRole(trx, { type, userGuid: person.guid, ...place }));
  }

  /** Sends as it is; answers are looked at only where they refuse. */
  async function send(token: string, line: Line, world: World, body?: unknown): Promise<Raw> {
    const method = line.id.split(' ')[0] ?? '';
    const withBody = method !== 'GET' && method !== 'DELETE';
    const sent = withBody ? JSON.stringify(body ?? bodyOf(line, world)) : undefined;
    const { status, body: text } = await cc.send(token, method, pathOf(line, world), sent);
    const error = status >= 400 ? JSON.parse(text).errors[0] : {};
    return { status, title: error.title ?? '', detail: error.detail ?? '' };
  }

  /** What is answered where the body names something that does not exist, with "guid" for its guid. */
  async function absent(line: Line, world: World): Promise<string> {
    const named = NAMED_BY_BODY[titleOf(line)];
    if (!named) return '';
    const nothing = crypto.randomUUID();
    const body = named.body({ ...world, [named.thing]: nothing });
    const { status, detail } = await send(cc.admin.token, line, world, body);
    assert.equal(status, 422, titleOf(line));
    return detail.replaceAll(nothing, 'guid');
  }

  function cellOf(line: Line, who: Holder, world: World, reply: Raw, notThere: string): Cell {
    const where = `${who}: ${titleOf(line)}: ${reply.status} ${reply.title} ${reply.detail}`;
    assert.ok(reply.status !== 500 && reply.status !== 401, where);
    const thing = NAMED_BY_BODY[titleOf(line)]?.thing;
    if (thing && reply.status === 422 && reply.detail.replaceAll(world[thing] ?? '', 'guid') === notThere)
      return 'absent';
    if (reply.status === 404) assert.equal(reply.title, 'CF-ResourceNotFound', where);
    if (reply.status === 404) return '404';
    if (reply.status !== 403) return 'ok';
    assert.ok(reply.title === 'CF-NotAuthorized' || reply.title === 'CF-OrgSuspended', where);
    return reply.title === 'CF-OrgSuspended' ? 'suspended' : '403';
  }

  it('every registered operation stands in the matrix, and what is not driven says why', () => {
    assert.deepEqual(
      [...new Set(LINES.map((line) => line.id))].sort(),
      operations.map((operation) => operation.id).sort(),
    );
    const driven = LINES.filter((line) => !(line.id in NOT_DRIVEN)).map(titleOf);
    for (const title of [...Object.keys(BY_HAND), ...Object.keys(NAMED_BY_BODY)])
      assert.ok(driven.includes(title), title);
    for (const id of Object.keys(NOT_DRIVEN))
      assert.ok(
        LINES.some((line) => line.id === id),
        id,
      );
  });

  it('every operation lets through whom the table names, in an organization that is active or suspended', async () => {
    const active = await maker.world();
    const suspended = await maker.world();
    const other = await maker.world();
    const people = new Map<Holder, Person>();
    for (const role of ALL_ROLES) people.set(role, await holder(role, active, suspended));
    const outsider = await holder('organization_manager', other);
    for (const role of ALL_ROLES) {
      if (!isGlobal(role) && role !== 'organization_manager') await give(outsider, role, other);
    }
    people.set('outsider', outsider);
    const seen = await cc.admin.patch(`/v3/organizations/${suspended.organizations}`, { suspended: true });
    assert.equal(seen.body.suspended, true);

    const wrong: string[] = [];
    async function ask(line: Line, who: Holder, world: World, wanted: Cell, notThere: string): Promise<Cell> {
      const thing = wanted === 'ok' ? destroyed(line) : null;
      const on = thing ? { ...world, [thing]: await maker.spare(thing, world) } : world;
      const reply = await send(people.get(who)?.token ?? '', line, on);
      const cell = cellOf(line, who, on, reply, notThere);
      if (cell !== wanted) wrong.push(`${who} at ${titleOf(line)}: ${cell} for ${wanted} (${JSON.stringify(reply)})`);
      return cell;
    }

    const rows: string[] = [];
    const passing = new Map<string, string[]>();
    for (const line of LINES) {
      if (line.id in NOT_DRIVEN) continue;
      const found = new Map<Holder, [Cell, Cell]>();
      const notThere = [await absent(line, active), await absent(line, suspended)] as const;
      // Who is refused first, so that what others do cannot be what refuses them.
      const refusedFirst = HOLDERS.toSorted(
        (a, b) => Number(expected(line, a, false) === 'ok') - Number(expected(line, b, false) === 'ok'),
      );
      for (const who of refusedFirst) {
        found.set(
          who,
          await Promise.all([
            ask(line, who, active, expected(line, who, false), notThere[0]),
            ask(line, who, suspended, expected(line, who, true), notThere[1]),
          ]),
        );
      }
      passing.set(
        titleOf(line),
        HOLDERS.filter((who) => found.get(who)?.[0] === 'ok'),
      );
      rows.push(
        row(
          titleOf(line),
          HOLDERS.map((who) => shown(...(found.get(who) ?? ['404', '404']))),
        ),
      );
    }
    const table = `${LEGEND}\n${row(
      '',
      HOLDERS.map((who) => COLUMNS[who]),
    )}${rows.join('')}`;
    if (process.env.UPDATE_GOLDEN === '1') writeFileSync(GOLDEN, table);
    assert.deepEqual(wrong, []);
    const golden = readFileSync(GOLDEN, 'utf8').split('\n');
    const found = table.split('\n');
    const changed = found.filter((line, index) => line !== golden[index]);
    assert.deepEqual(changed, [], 'UPDATE_GOLDEN=1 writes it anew; read the difference');
    assert.equal(found.length, golden.length);
    for (const [title, roles] of Object.entries(BY_HAND)) {
      assert.deepEqual(passing.get(title)?.sort(), roles.split(' ').sort(), title);
    }
  });

  it('lists show each role what it may see and nothing else', async () => {
    const world = await maker.world();
    const totals = async (person: Person, path: string): Promise<number> => {
      const reply = await person.get(path);
      assert.equal(reply.status, 200, `${path} ${JSON.stringify(reply.body)}`);
      return reply.body.pagination.total_results;
    };
    const all = await totals(cc.admin, '/v3/organizations');
    for (const role of ALL_ROLES) {
      const person = await holder(role, world);
      const everything = isGlobal(role);
      assert.equal(await totals(person, '/v3/organizations'), everything ? all : 1, role);
      const sees = (id: OperationId): boolean => seenBy(id, role);
      const spaces = await totals(person, '/v3/spaces');
      const routes = await totals(person, '/v3/routes');
      const privateDomains = await totals(person, `/v3/domains?organization_guids=${world.organizations}`);
      if (everything) continue;
      assert.equal(spaces, sees('GET /v3/spaces/:guid') ? 1 : 0, role);
      assert.equal(routes, sees('GET /v3/routes/:guid') ? 1 : 0, role);
      assert.equal(privateDomains, sees('GET /v3/domains/:guid') ? 1 : 0, role);
      assert.equal(await totals(person, '/v3/domains?names=test.example'), 1, role);
    }
  });

  it('without a token nothing but the root answers; a token without the scope reads and writes nothing', async () => {
    const world = await maker.world();
    for (const path of ['/', '/v3', '/v3/info', '/v2/info']) {
      assert.equal((await cc.anonymous.get(path)).status, 200, path);
    }
    const bare = await cc.person('bare', ['openid']);
    const reader = await cc.person('reader', ['cloud_controller.read', 'cloud_controller.admin_read_only']);
    for (const line of LINES) {
      if (line.id in NOT_DRIVEN || permissionOf(line.id).scope === 'public') continue;
      const reply = await send('', line, world);
      assert.equal(reply.status, 401, titleOf(line));
      assert.equal(reply.title, 'CF-NotAuthenticated');
      assert.equal((await send(bare.token, line, world)).status, 403, titleOf(line));
      if (!line.id.startsWith('GET ')) assert.equal((await send(reader.token, line, world)).status, 403, titleOf(line));
    }
    const garbled = await cc.anonymous.request('GET', '/v3/organizations', undefined, {
      authorization: 'bearer a.b.c',
    });
    assert.equal(garbled.status, 401);
    assert.equal(garbled.body.errors[0].code, 1000);
  });

  it('a client whose id is the guid of a user has nothing of that user (SECURITY 23)', async () => {
    const world = await maker.world();
    const manager = await holder('organization_manager', world);
    const thief = await cc.client(manager.guid, READ_WRITE);
    assert.equal((await thief.get(`/v3/organizations/${world.organizations}`)).status, 404);
    assert.equal((await thief.get('/v3/organizations')).body.pagination.total_results, 0);
    const client = await cc.client('deployer', READ_WRITE);
    await client.get('/v3/organizations');
    const type = 'organization_manager';
    const role = { type, userGuid: 'deployer', organizationGuid: world.organizations } as const;
    await cc.db.transaction().execute((trx) => insertRole(trx, role));
    assert.equal((await client.get(`/v3/organizations/${world.organizations}`)).status, 200);
  });
});

function seenBy(id: OperationId, role: Role): boolean {
  const permission = permissionOf(id);
  assert.ok(permission.scope === 'organization' || permission.scope === 'space', id);
  return permission.see.includes(role);
}

/** As a person reads it in a diff. */
function shown(active: Cell, suspended: Cell): string {
  const word = active === 'absent' ? '422' : active;
  if (active === suspended) return word;
  return suspended === 'suspended' ? `${word}*` : `${word}/${suspended}`;
}

function row(title: string, cells: readonly string[]): string {
  return `${title.padEnd(82)}${cells.map((cell) => cell.padEnd(7)).join('')}`.trimEnd().concat('\n');
}
