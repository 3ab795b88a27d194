import { type Selectable, type SelectQueryBuilder, sql } from 'kysely';
import type { Visible } from '../authorization.ts';
import { type Database, type Db, now, type RowColumns } from '../database.ts';
import { isUniqueViolation, unprocessable } from '../errors.ts';
import { lowered, narrow, type Page, page } from '../list.ts';
import { jsonb } from '../metadata.ts';
import type { Query, QueryRules } from '../query.ts';
import type { Rule } from './rules.ts';

export type Phase = 'running' | 'staging';

export interface SecurityGroupTable extends RowColumns {
  name: string;
  rules: readonly Rule[];
  /** Holds in every space. */
  running_default: boolean;
  staging_default: boolean;
}
export interface SecurityGroupSpaceTable {
  security_group_guid: string;
  space_guid: string;
  phase: Phase;
}

/** A group with the spaces it is bound to. */
export interface SecurityGroup extends Selectable<SecurityGroupTable> {
  running_space_guids: string[];
  staging_space_guids: string[];
}

export const securityGroupQuery = {
  list: true,
  orderBy: ['name'],
  filters: ['names', 'running_space_guids', 'staging_space_guids'],
  values: ['globally_enabled_running', 'globally_enabled_staging'],
} as const satisfies QueryRules;

type Select = SelectQueryBuilder<Database, 'security_groups', SecurityGroup>;

function select(db: Db): Select {
  const spaces = (phase: Phase) => sql<string[]>`ARRAY(SELECT space_guid FROM security_group_spaces AS bound
    WHERE bound.security_group_guid = security_groups.guid AND bound.phase = ${phase} ORDER BY space_guid)`;
  return db
    .selectFrom('security_groups')
    .selectAll('security_groups')
    .select([spaces('running').as('running_space_guids'), spaces('staging').as('staging_space_guids')]);
}

/** Groups that hold everywhere, and those bound to a space the caller sees. */
export async function findSecurityGroup(db: Db, guid: string, visible: Visible): Promise<SecurityGroup | null> {
  const found = await visibleOnly(select(db), visible).where('security_groups.guid', '=', guid).executeTakeFirst();
  return found ?? null;
}

export async function listSecurityGroups(db: Db, query: Query, visible: Visible): Promise<Page<SecurityGroup>> {
  let narrowed: Select = visibleOnly(narrow(select(db), 'security_groups', query), visible);
  const names = query.filters.get('names');
  if (names) narrowed = narrowed.where(sql<boolean>`lower(security_groups.name) = ANY(${lowered(names)})`);
  for (const phase of ['running', 'staging'] as const) {
    const spaces = query.filters.get(`${phase}_space_guids`);
    const everywhere = query.values.get(`globally_enabled_${phase}`);
    if (spaces) {
      narrowed = narrowed.where(
        sql<boolean>`security_groups.guid IN (SELECT security_group_guid FROM security_group_spaces
          WHERE phase = ${phase} AND space_guid = ANY(${spaces}))`,
      );
    }
    if (everywhere !== undefined) narrowed = narrowed.where(`${phase}_default`, '=', everywhere === 'true');
  }
  return page(db, narrowed, 'security_groups', query);
}

/** What holds in one space: the global groups and those bound to it. */
export async function listSecurityGroupsOfSpace(
  db: Db,
  query: Query,
  spaceGuid: string,
  phase: Phase,
): Promise<Page<SecurityGroup>> {
  let narrowed: Select = narrow(select(db), 'security_groups', query).where(holdsIn(spaceGuid, phase));
  const names = query.filters.get('names');
  if (names) narrowed = narrowed.where(sql<boolean>`lower(security_groups.name) = ANY(${lowered(names)})`);
  return page(db, narrowed, 'security_groups', query);
}

/** The rules of a container: of all groups that hold in its space, running or while staging. */
export async function egressRulesOf(db: Db, spaceGuid: string, phase: Phase): Promise<Rule[]> {
  const rows = await db
    .selectFrom('security_groups')
    .select('rules')
    .where(holdsIn(spaceGuid, phase))
    .orderBy('id')
    .execute();
  return rows.flatMap((row) => row.rules);
}

function holdsIn(spaceGuid: string, phase: Phase) {
  const everywhere = sql.ref(`security_groups.${phase}_default`);
  return sql<boolean>`(${everywhere} OR security_groups.guid IN (SELECT security_group_guid FROM security_group_spaces
    WHERE phase = ${phase} AND space_guid = ${spaceGuid}))`;
}

function visibleOnly(query: Select, visible: Visible): Select {
  if (visible.everything) return query;
  return query.where(
    sql<boolean>`(security_groups.running_default OR security_groups.staging_default OR security_groups.guid IN
      (SELECT security_group_guid FROM security_group_spaces WHERE space_guid IN ${visible.guids}))`,
  );
}

export async function insertSecurityGroup(
  db: Db,
  values: { name: string; rules: readonly Rule[]; running: boolean; staging: boolean },
): Promise<string> {
  const guid = crypto.randomUUID();
  await naming(values.name, () =>
    db
      .insertInto('security_groups')
      .values({
        guid,
        name: values.name,
        rules: jsonb(values.rules),
        running_default: values.running,
        staging_default: values.staging,
      })
      .execute(),
  );
  return guid;
}

export async function updateSecurityGroup(
  db: Db,
  group: SecurityGroup,
  changes: { name?: string; rules?: readonly Rule[]; running?: boolean; staging?: boolean },
): Promise<void> {
  const name = changes.name ?? group.name;
  await naming(name, () =>
    db
      .updateTable('security_groups')
      .set({
        name,
        rules: jsonb(changes.rules ?? group.rules),
        running_default: changes.running ?? group.running_default,
        staging_default: changes.staging ?? group.staging_default,
        updated_at: now,
      })
      .where('guid', '=', group.guid)
      .execute(),
  );
}

export async function bindSecurityGroup(
  db: Db,
  groupGuid: string,
  phase: Phase,
  spaceGuids: readonly string[],
): Promise<void> {
  if (spaceGuids.length === 0) return;
  await db
    .insertInto('security_group_spaces')
    .values(spaceGuids.map((space_guid) => ({ security_group_guid: groupGuid, space_guid, phase })))
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** False where it was not bound. */
export async function unbindSecurityGroup(
  db: Db,
  groupGuid: string,
  phase: Phase,
  spaceGuid: string,
): Promise<boolean> {
  const result = await db
    .deleteFrom('security_group_spaces')
    .where('security_group_guid', '=', groupGuid)
    .where('space_guid', '=', spaceGuid)
    .where('phase', '=', phase)
    .executeTakeFirst();
  return result.numDeletedRows > 0n;
}

async function naming(name: string, body: () => Promise<unknown>): Promise<void> {
  try {
    await body();
  } catch (error) {
    throw isUniqueViolation(error, 'security_groups_name_key')
      ? unprocessable(`Security group with name '${name}' already exists.`)
      : error;
  }
}
