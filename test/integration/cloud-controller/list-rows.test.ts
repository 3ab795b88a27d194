import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Guid } from '../../../src/cloud-controller/guid.ts';
import type { Operation } from '../../../src/cloud-controller/operation.ts';
import { PERMISSIONS } from '../../../src/cloud-controller/permissions.ts';
import type { OrganizationRole } from '../../../src/cloud-controller/role-names.ts';
import { newSpace, startTestFoundation, type TestFoundation } from '../../support/apps.ts';
import type { Person, Reply, TestCloudController } from '../../support/cloud-controller.ts';
import { EMPTY_LISTS, isForAll, isOfPlace, kindOf, LABELS, LISTS, requestsTo } from '../../support/list-rows.ts';
import { pathOf } from '../../support/role-matrix.ts';
import { on, personWith, type RoleThere, THINGS, type World, WorldMaker } from '../../support/role-world.ts';

interface Row {
  guid?: string;
  name?: string;
  /** Of an event. */
  space?: { guid: string } | null;
}

const developerOf = (organizationGuid: Guid<'organization'>, spaceGuid: Guid<'space'>): readonly RoleThere[] => [
  { type: 'organization_user', organizationGuid },
  { type: 'space_developer', spaceGuid },
];

const takesLabels = (list: Operation): boolean =>
  list.query?.labels === true && `PATCH /v3/${kindOf(list)}/:guid` in PERMISSIONS;

describe('whose rows a list shows', () => {
  let foundation: TestFoundation;
  let cc: TestCloudController;
  /** Where somebody from elsewhere has a role, and where they have none. */
  let own: World;
  let foreign: World;
  /** What each list shows the admin of the foreign place and does not show of `own`: by the list, the rows by their guids. */
  const foreignRows = new Map<Operation, Map<string, Row>>();

  const keyOf = (row: Row): string => row.guid ?? row.name ?? '';
  const rowsOf = (reply: Reply): Row[] => reply.body.resources ?? reply.body.data;
  const everything = (path: string) => (/relationships/.test(path) ? path : `${path}?per_page=5000`);

  async function shownTo(person: Person, operation: Operation, world: World): Promise<Map<string, Row>> {
    const reply = await person.get(everything(pathOf({ id: operation.id, at: null }, world)));
    assert.equal(reply.status, 200, `${operation.id} ${JSON.stringify(reply.body)}`);
    return new Map(rowsOf(reply).map((row) => [keyOf(row), row]));
  }

  /** With what is applied to its organization and its space. */
  async function makeWorld(maker: WorldMaker): Promise<World> {
    const world = await maker.world();
    const { organizations, organization_quotas, spaces, isolation_segments } = world;
    const applied = { data: [{ guid: organizations }] };
    const quota = `/v3/organization_quotas/${organization_quotas}/relationships/organizations`;
    assert.equal((await cc.admin.post(quota, applied)).status, 200);
    const segment = `/v3/spaces/${spaces}/relationships/isolation_segment`;
    assert.equal((await cc.admin.patch(segment, on(isolation_segments))).status, 200);
    return world;
  }

  before(async () => {
    foundation = await startTestFoundation();
    cc = foundation.cc;
    const maker = new WorldMaker(foundation);
    own = await makeWorld(maker);
    const before = new Map<Operation, Map<string, Row>>();
    for (const list of LISTS) before.set(list, await shownTo(cc.admin, list, own));
    foreign = await makeWorld(maker);
    for (const operation of LISTS) {
      const after = await shownTo(cc.admin, operation, foreign);
      const rows = [...after].filter(([guid]) => !before.get(operation)?.has(guid));
      foreignRows.set(operation, new Map(rows));
      if (!takesLabels(operation)) continue;
      for (const [guid] of rows) {
        const reply = await cc.admin.patch(`/v3/${kindOf(operation)}/${guid}`, { metadata: { labels: LABELS } });
        assert.equal(reply.status, 200, `${operation.id} ${JSON.stringify(reply.body)}`);
      }
    }
  });
  after(() => foundation.close());

  const rowsIn = (operation: Operation): Map<string, Row> => foreignRows.get(operation) ?? new Map();

  /** Guids of the foreign world that only its members are told. */
  function secrets(): Set<string> {
    const shown = new Set(LISTS.filter(isForAll).flatMap((list) => [...rowsIn(list).keys()]));
    const here = new Set(THINGS.map((thing) => own[thing]));
    const all = [...LISTS.flatMap((list) => [...rowsIn(list).keys()]), ...THINGS.map((thing) => foreign[thing])];
    return new Set(all.filter((guid) => !shown.has(guid) && !here.has(guid)));
  }

  /** Those of what lies in the foreign space: what says that it does, or that it is of an app there. */
  function secretsOfSpace(): Set<string> {
    const { spaces, apps } = foreign;
    const inSpace = LISTS.flatMap((list) =>
      [...rowsIn(list)].filter(([, row]) => [spaces, apps].some((guid) => JSON.stringify(row).includes(guid))),
    );
    return new Set(inSpace.map(([guid]) => guid));
  }

  it('every list is asked for, and shows its admin something of the foreign place or says why not', () => {
    assert.ok(LISTS.length > 40, `${LISTS.length} lists`);
    const empty = LISTS.filter((list) => rowsIn(list).size === 0 && !isForAll(list)).map(({ id }) => id);
    const never = Object.keys(EMPTY_LISTS).filter((id) => LISTS.some((list) => list.id === id && !isForAll(list)));
    assert.deepEqual(empty.sort(), never.sort());
    for (const id of Object.keys(EMPTY_LISTS))
      assert.ok(
        LISTS.some((list) => list.id === id),
        id,
      );
  });

  it('asked by guids or by labels, a list shows its admin all that is foreign', async () => {
    for (const list of LISTS) {
      const rows = [...rowsIn(list).keys()];
      for (const { variant, path } of requestsTo(list, foreign, rows)) {
        if (variant !== 'guids' && !(variant === 'labels' && takesLabels(list))) continue;
        const shown = rowsOf(await cc.admin.get(path)).map(keyOf);
        // A feature flag has no guid.
        if (!list.id.includes('feature_flags')) assert.deepEqual(shown.sort(), rows.toSorted(), path);
      }
    }
  });

  /** Asks each list in each way; gives what it showed. */
  async function askAll(
    person: Person,
    each: (list: Operation, reply: Reply, request: ReturnType<typeof requestsTo>[0]) => Promise<void> | void,
  ): Promise<void> {
    for (const list of LISTS) {
      for (const request of requestsTo(list, foreign, [...rowsIn(list).keys()])) {
        const reply = await person.get(request.path);
        const { status, body } = reply;
        assert.ok(status === 200 || (status === 404 && list.id.includes('/:')), `${request.path} ${status}`);
        if (status === 404) continue;
        const total = body.pagination?.total_results ?? rowsOf(reply).length;
        assert.equal(total, rowsOf(reply).length, `${list.id} counts more than it shows`);
        await each(list, reply, request);
      }
    }
  }

  /** Where an answer says one of these guids; not in the links to its pages, which repeat what was asked. */
  function told({ body }: Reply, hidden: ReadonlySet<string>): string[] {
    const { pagination: _pagination, ...rest } = body;
    return (JSON.stringify(rest).match(/[0-9a-f]{8}-[0-9a-f-]{27}/g) ?? []).filter((guid) => hidden.has(guid));
  }

  async function toldOf(hidden: ReadonlySet<string>, person: Person): Promise<string[]> {
    const found: string[] = [];
    await askAll(person, (list, reply, { variant, path }) => {
      // In the path itself, so not told by the answer.
      const asked = path.split('?')[0] ?? '';
      const guids = told(reply, hidden).filter((guid) => !asked.includes(guid));
      if (guids.length > 0) found.push(`${list.id} (${variant}) tells ${guids.length}, as ${guids[0]}`);
    });
    return found;
  }

  it('ARCH-13: who has no role, or is a developer of another organization, is told of nothing in it by any list', async () => {
    const hidden = secrets();
    assert.ok(hidden.size > THINGS.length, `${hidden.size}`);
    assert.deepEqual(await toldOf(hidden, await personWith(foundation)), []);
    const elsewhere = await personWith(foundation, ...developerOf(own.organizations, own.spaces));
    assert.deepEqual(await toldOf(hidden, elsewhere), []);
  });

  it('ARCH-13: a developer of another space of the organization is told of nothing in the space by any list', async () => {
    const hidden = secretsOfSpace();
    for (const thing of [
      'apps',
      'routes',
      'packages',
      'droplets',
      'builds',
      'tasks',
      'deployments',
      'revisions',
    ] as const)
      assert.ok(hidden.has(foreign[thing]), thing);
    const beside = await newSpace(cc, foreign.organizations, 'beside');
    const sibling = await personWith(foundation, ...developerOf(foreign.organizations, beside));
    assert.deepEqual(await toldOf(hidden, sibling), []);
  });

  const inOrganization = (type: OrganizationRole) => [{ type, organizationGuid: foreign.organizations }];
  const members: Readonly<Record<string, () => readonly RoleThere[]>> = {
    'a developer of the space': () => developerOf(foreign.organizations, foreign.spaces),
    'an auditor of the organization': () => inOrganization('organization_auditor'),
    'a manager of the organization': () => inOrganization('organization_manager'),
    'a user of the organization': () => inOrganization('organization_user'),
  };
  for (const [who, roles] of Object.entries(members)) {
    it(`ARCH-13: ${who} is listed exactly what they may ask for one by one`, async () => {
      const person = await personWith(foundation, ...roles());
      const asked = new Map<string, Promise<boolean>>();
      const mayRead = (kind: string, key: string): Promise<boolean> => {
        const path = `/v3/${kind}/${key}`;
        const answer = asked.get(path) ?? person.get(path).then(({ status }) => status === 200);
        asked.set(path, answer);
        return answer;
      };
      const wrong: string[] = [];
      await askAll(person, async (list, reply, { variant }) => {
        for (const [kind, rows] of Object.entries<Row[]>(reply.body.included ?? {})) {
          for (const row of rows)
            if (!(await mayRead(kind, keyOf(row)))) wrong.push(`${list.id} includes of ${kind} ${keyOf(row)}`);
        }
        const shown = new Set(rowsOf(reply).map(keyOf));
        if (!isOfPlace(list))
          for (const key of shown)
            if (!(await mayRead(kindOf(list), key))) wrong.push(`${list.id} (${variant}) shows ${key}`);
        if (variant === 'filter') return;
        for (const key of rowsIn(list).keys()) {
          if (!shown.has(key) && (await mayRead(kindOf(list), key))) wrong.push(`${list.id} (${variant}) hides ${key}`);
        }
      });
      assert.deepEqual(wrong, []);
    });
  }

  it('a developer of the space is listed all that lies in it', async () => {
    const developer = await personWith(foundation, ...developerOf(foreign.organizations, foreign.spaces));
    const hidden = secretsOfSpace();
    for (const list of LISTS) {
      if (list.id in EMPTY_LISTS) continue;
      const shown = await shownTo(developer, list, foreign);
      for (const [guid, { space }] of rowsIn(list)) {
        // An event of the organization may name the space in its request.
        const lies = hidden.has(guid) && (space === undefined || space?.guid === foreign.spaces);
        if (lies) assert.ok(shown.has(guid), `${list.id} ${guid}`);
      }
    }
  });
});
