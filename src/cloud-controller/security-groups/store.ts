import { type RawBuilder, type Selectable, sql } from 'kysely';
import type { Visible } from '../authorization.ts';
import { type Db, lockRow, now, type RowColumns, type Trx } from '../database.ts';
import { isUniqueViolation, notFound, unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { jsonb } from '../metadata.ts';
import type { Rule } from './rules.ts';

declare module '../database.ts' {
  interface Database {
    security_groups: SecurityGroupTable;
    security_group_spaces: SecurityGroupSpaceTable;
  }
}

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
  space_guid: Guid<'space'>;
  phase: Phase;
}

/** A group with the spaces it is bound to. */
export interface SecurityGroup extends Selectable<SecurityGroupTable> {
  running_space_guids: Guid<'space'>[];
  staging_space_guids: Guid<'space'>[];
}

export function selectSecurityGroups(db: Db) {
  const spaces = (phase: Phase) => sql<Guid<'space'>[]>`ARRAY(SELECT space_guid FROM security_group_spaces AS bound
    WHERE bound.security_group_guid = security_groups.guid AND bound.phase = ${phase} ORDER BY space_guid)`;
  return db
    .selectFrom('security_groups')
    .selectAll('security_groups')
    .select([spaces('running').as('running_space_guids'), spaces('staging').as('staging_space_guids')]);
}

/** One of those that a condition leaves, where one is given. */
export async function findSecurityGroup(
  db: Db,
  guid: string,
  seen: RawBuilder<boolean> | null = null,
): Promise<SecurityGroup | null> {
  const select = selectSecurityGroups(db).where('security_groups.guid', '=', guid);
  return (await (seen ? select.where(seen) : select).executeTakeFirst()) ?? null;
}

/** As it is in the transaction that changed it. */
export async function readSecurityGroup(trx: Trx, guid: string): Promise<SecurityGroup> {
  const group = await findSecurityGroup(trx, guid);
  if (!group) throw notFound('Security group');
  return group;
}

/** The rules of a container: of all groups that hold in its space, running or while staging. */
export async function egressRulesOf(db: Db, spaceGuid: Guid<'space'>, phase: Phase): Promise<Rule[]> {
  const rows = await db
    .selectFrom('security_groups')
    .select('rules')
    .where(holdsIn(spaceGuid, phase))
    .orderBy('id')
    .execute();
  return rows.flatMap((row) => row.rules);
}

/** The condition of what holds in one space: the global groups and those bound to it. */
export function holdsIn(spaceGuid: Guid<'space'>, phase: Phase): RawBuilder<boolean> {
  return sql<boolean>`(${sql.ref(`security_groups.${phase}_default`)} OR ${boundTo(phase, [spaceGuid])})`;
}

/** The condition of groups that are bound to one of these spaces. */
export function boundTo(phase: Phase, spaceGuids: readonly string[]): RawBuilder<boolean> {
  return sql<boolean>`security_groups.guid IN (SELECT security_group_guid FROM security_group_spaces
    WHERE phase = ${phase} AND space_guid = ANY(${spaceGuids}))`;
}

/** The condition of what is seen from these spaces: groups that hold everywhere, and those bound to one of them. */
export function seenFrom(spaces: Visible): RawBuilder<boolean> | null {
  if (spaces.everything) return null;
  return sql<boolean>`(security_groups.running_default OR security_groups.staging_default OR security_groups.guid IN
    (SELECT security_group_guid FROM security_group_spaces WHERE space_guid IN ${spaces.guids}))`;
}

export async function insertSecurityGroup(
  trx: Trx,
  values: { name: string; rules: readonly Rule[]; running?: boolean; staging?: boolean },
): Promise<string> {
  const guid = crypto.randomUUID();
  const { running = false, staging = false } = values;
  await naming(values.name, () =>
    trx
      .insertInto('security_groups')
      .values({
        guid,
        name: values.name,
        rules: jsonb(values.rules),
        running_default: running,
        staging_default: staging,
      })
      .execute(),
  );
  return guid;
}

export async function updateSecurityGroup(
  trx: Trx,
  guid: string,
  changes: { name?: string; rules?: readonly Rule[]; running?: boolean; staging?: boolean },
): Promise<void> {
  const before = await lockRow(trx, 'security_groups', guid, notFound('Security group'));
  const { name, rules, running, staging } = changes;
  await naming(name ?? before.name, () =>
    trx
      .updateTable('security_groups')
      .set({
        name,
        rules: rules && jsonb(rules),
        running_default: running,
        staging_default: staging,
        updated_at: now,
      })
      .where('guid', '=', guid)
      .execute(),
  );
}

/** Those of these guids that are no space's. */
export async function missingSpaces(db: Db, guids: readonly Guid<'space'>[]): Promise<Guid<'space'>[]> {
  if (guids.length === 0) return [];
  const rows = await db.selectFrom('spaces').select('guid').where('guid', 'in', guids).execute();
  const found = new Set(rows.map((row) => row.guid));
  return guids.filter((guid) => !found.has(guid));
}

/** Gives the spaces it was not bound to before. */
export async function bindSecurityGroup(
  trx: Trx,
  groupGuid: string,
  phase: Phase,
  spaceGuids: readonly Guid<'space'>[],
): Promise<string[]> {
  if (spaceGuids.length === 0) return [];
  const bound = await trx
    .insertInto('security_group_spaces')
    .values(spaceGuids.map((space_guid) => ({ security_group_guid: groupGuid, space_guid, phase })))
    .onConflict((conflict) => conflict.doNothing())
    .returning('space_guid')
    .execute();
  return bound.map((row) => row.space_guid);
}

/** False where it was not bound. */
export async function unbindSecurityGroup(
  trx: Trx,
  groupGuid: string,
  phase: Phase,
  spaceGuid: Guid<'space'>,
): Promise<boolean> {
  const result = await trx
    .deleteFrom('security_group_spaces')
    .where('security_group_guid', '=', groupGuid)
    .where('space_guid', '=', spaceGuid)
    .where('phase', '=', phase)
    .executeTakeFirst();
  return result.numDeletedRows > 0n;
}

/** Gives what is gone by this; null where it was gone before. */
export async function deleteSecurityGroup(
  trx: Trx,
  guid: string,
): Promise<Pick<SecurityGroup, 'guid' | 'name'> | null> {
  const deleted = trx.deleteFrom('security_groups').where('guid', '=', guid).returning(['guid', 'name']);
  return (await deleted.executeTakeFirst()) ?? null;
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
