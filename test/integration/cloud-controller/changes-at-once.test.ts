import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sql } from 'kysely';
import type { Trx } from '../../../src/cloud-controller/database.ts';
import type { Reply } from '../../support/cloud-controller.ts';
import { whileHeld } from '../../support/held.ts';
import type { Thing, World } from '../../support/role-world.ts';
import { cc, suiteHasAWorld, world } from '../../support/suite.ts';

/** What one caller changes while another's request, with a body of its own, is under way. */
interface Pair {
  table: string;
  path: (world: World) => string;
  /** Columns of the first change; jsonb as text. */
  first: Readonly<Record<string, unknown>>;
  second: object;
  /** Which thing it is; the table's otherwise. */
  thing?: Thing;
}

const of = (table: Thing) => (world: World) => `/v3/${table}/${world[table]}`;
const labelled = { metadata: { labels: { mine: '1' } } };
const WITH_METADATA = [
  'organizations',
  'spaces',
  'domains',
  'routes',
  'users',
  'isolation_segments',
  'apps',
  'processes',
  'packages',
  'builds',
  'droplets',
  'revisions',
  'deployments',
  'tasks',
  'buildpacks',
  'stacks',
] as const;

const PAIRS: readonly Pair[] = [
  { table: 'organizations', path: of('organizations'), first: { suspended: true }, second: labelled },
  { table: 'organizations', path: of('organizations'), first: { name: 'first-org' }, second: labelled },
  { table: 'spaces', path: of('spaces'), first: { allow_ssh: false, name: 'first-space' }, second: labelled },
  { table: 'isolation_segments', path: of('isolation_segments'), first: { name: 'first-segment' }, second: labelled },
  {
    table: 'spaces',
    path: (world) => `/v3/spaces/${world.spaces}/features/ssh`,
    first: { name: 'renamed-space' },
    second: { enabled: true },
  },
  {
    table: 'security_groups',
    path: of('security_groups'),
    first: { rules: '[{"protocol": "all", "destination": "10.0.0.1"}]', running_default: true },
    second: { name: 'second-group' },
  },
  {
    table: 'security_groups',
    path: of('security_groups'),
    first: { name: 'first-group' },
    second: { globally_enabled: { running: false } },
  },
  {
    table: 'organization_quotas',
    path: of('organization_quotas'),
    first: { total_memory_mb: 77, total_domains: 3, paid_services_allowed: false },
    second: { apps: { total_instances: 5 } },
  },
  {
    table: 'space_quotas',
    path: of('space_quotas'),
    first: { total_memory_mb: 77, name: 'first-quota' },
    second: { routes: { total_routes: 5 } },
  },
  {
    table: 'buildpacks',
    path: of('buildpacks'),
    first: { locked: true, enabled: false, position: 7 },
    second: { name: 'second-buildpack' },
  },
  { table: 'routes', path: of('routes'), first: { options: '{"loadbalancing": "round-robin"}' }, second: labelled },
];

describe('changes at once', () => {
  suiteHasAWorld();

  const set = (trx: Trx, table: string, guid: string, columns: Readonly<Record<string, unknown>>) =>
    sql`UPDATE ${sql.table(table)} SET ${sql.join(
      Object.entries(columns).map(([name, value]) => sql`${sql.ref(name)} = ${value}`),
    )} WHERE guid = ${guid}`.execute(trx);
  const rowOf = async (table: string, guid: string) =>
    (await sql<Record<string, unknown>>`SELECT * FROM ${sql.table(table)} WHERE guid = ${guid}`.execute(cc.db))
      .rows[0] ?? {};
  const patched = (reply: Reply) => assert.equal(reply.status, 200, JSON.stringify(reply.body));

  for (const { table, path, first, second, thing = table as Thing } of PAIRS) {
    it(`${table}: ${Object.keys(first)} stand, whoever changes ${Object.keys(second)} meanwhile`, async () => {
      const guid = world[thing];
      const call = () => cc.admin.patch(path(world), second);
      patched(await whileHeld(cc.db, (trx) => set(trx, table, guid, first), call));
      const row = await rowOf(table, guid);
      for (const [column, value] of Object.entries(first)) {
        const expected = typeof value === 'string' && /^[[{]/.test(value) ? JSON.parse(value) : value;
        assert.deepEqual(row[column], expected, column);
      }
    });
  }

  for (const table of WITH_METADATA) {
    it(`${table}: labels that two callers set at once are both there`, async () => {
      const guid = world[table];
      const first = { labels: '{"theirs": "1"}', annotations: '{"theirs": "2"}' };
      const call = () => cc.admin.patch(`/v3/${table}/${guid}`, labelled);
      patched(await whileHeld(cc.db, (trx) => set(trx, table, guid, first), call));
      const { labels, annotations } = await rowOf(table, guid);
      assert.deepEqual([labels, annotations], [{ theirs: '1', mine: '1' }, { theirs: '2' }]);
    });
  }

  it('what is deleted while it is changed is not found', async () => {
    const foreign = ['organizations', 'spaces', 'apps', 'users', 'stacks', 'isolation_segments'];
    const wrong: string[] = [];
    for (const table of [
      ...WITH_METADATA,
      'security_groups',
      'organization_quotas',
      'space_quotas',
      'sidecars',
    ] as const) {
      if (foreign.includes(table)) continue; // what hangs on them keeps them from going like this
      const guid = world[table];
      const body =
        table === 'sidecars'
          ? { command: 'false' }
          : WITH_METADATA.some((name) => name === table)
            ? labelled
            : { name: 'late' };
      const gone = (trx: Trx) => sql`DELETE FROM ${sql.table(table)} WHERE guid = ${guid}`.execute(trx);
      const reply = await whileHeld(cc.db, gone, () => cc.admin.patch(`/v3/${table}/${guid}`, body));
      if (reply.status !== 404) wrong.push(`${table}: ${reply.status} ${JSON.stringify(reply.body)}`);
    }
    assert.deepEqual(wrong, []);
  });
});
