import { randomUUID } from 'node:crypto';
import type { Kysely, Selectable, Transaction } from 'kysely';
import { sql } from 'kysely';
import { UaaError } from '../errors.ts';
import type { MemberType, UaaSchema } from '../schema.ts';
import type { ScimFilter } from '../scim/filter.ts';
import { filterSql, GROUP_ATTRIBUTES, type ScimPage, type SortOrder } from '../scim/sql.ts';
import type { Clock } from '../settings.ts';
import { DEFAULT_GROUPS } from './names.ts';

export type Group = Readonly<Selectable<UaaSchema['groups']>>;
export type Member = Readonly<Selectable<UaaSchema['group_members']>>;
export interface NewMember {
  id: string;
  type: MemberType;
  origin: string;
}
export interface GroupOfUser {
  id: string;
  displayName: string;
  direct: boolean;
}

/** Groups and who is in them. A group may be a member of another: its members then are, too. */
export class GroupStore {
  readonly #db: Kysely<UaaSchema>;
  readonly #clock: Clock;

  constructor(db: Kysely<UaaSchema>, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  async byId(id: string): Promise<Group | null> {
    const row = await this.#db.selectFrom('groups').selectAll().where('id', '=', id).executeTakeFirst();
    return row ?? null;
  }

  async byIds(ids: readonly string[]): Promise<Group[]> {
    if (ids.length === 0) return [];
    return this.#db.selectFrom('groups').selectAll().where('id', 'in', ids).execute();
  }

  async list(filter: ScimFilter | null, page: ScimPage, order: SortOrder): Promise<{ groups: Group[]; total: number }> {
    const where = filterSql(filter, GROUP_ATTRIBUTES);
    const groups = await this.#db
      .selectFrom('groups')
      .selectAll()
      .where(where)
      .orderBy(order.column(GROUP_ATTRIBUTES), order.direction)
      .orderBy('id')
      .offset(page.offset)
      .limit(page.limit)
      .execute();
    const { total } = await this.#db
      .selectFrom('groups')
      .select((eb) => eb.fn.countAll<number>().as('total'))
      .where(where)
      .executeTakeFirstOrThrow();
    return { groups, total };
  }

  /** With its members, or not at all. Throws `scim_resource_already_exists`, `invalid_scim_resource`. */
  async create(displayName: string, description: string | null, members: readonly NewMember[]): Promise<Group> {
    const now = this.#clock();
    return this.#db.transaction().execute(async (trx) => {
      const row = await trx
        .insertInto('groups')
        .values({ id: randomUUID(), display_name: displayName, description, created_at: now, updated_at: now })
        .onConflict((conflict) => conflict.doNothing())
        .returningAll()
        .executeTakeFirst();
      if (!row) {
        throw new UaaError('scim_resource_already_exists', `A group with displayName: ${displayName} already exists.`);
      }
      for (const member of members) {
        const added = await this.#add(trx, row.id, member);
        if (added !== 'added') throw new UaaError('invalid_scim_resource', `Invalid group member: ${member.id}`);
      }
      return row;
    });
  }

  /** Enters those that are missing. */
  async ensure(groups: Readonly<Record<string, string>>): Promise<void> {
    const now = this.#clock();
    const rows = Object.entries(groups).map(([displayName, description]) => ({
      id: randomUUID(),
      display_name: displayName,
      description,
      created_at: now,
      updated_at: now,
    }));
    await this.#db
      .insertInto('groups')
      .values(rows)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  async delete(id: string): Promise<void> {
    await this.#db.transaction().execute(async (trx) => {
      // Held first: who is adding a member, or it as one, then waits, and finds nothing.
      await trx.selectFrom('groups').select('id').where('id', '=', id).forUpdate().execute();
      await trx.deleteFrom('group_members').where('member_type', '=', 'GROUP').where('member_id', '=', id).execute();
      await trx.deleteFrom('groups').where('id', '=', id).execute();
    });
  }

  members(groupId: string): Promise<Member[]> {
    return this.#db
      .selectFrom('group_members')
      .selectAll()
      .where('group_id', '=', groupId)
      .orderBy('added_at')
      .orderBy('member_id')
      .execute();
  }

  /** The members of several groups, by group, in one query. */
  async membersOf(groupIds: readonly string[]): Promise<ReadonlyMap<string, Member[]>> {
    if (groupIds.length === 0) return new Map();
    const rows = await this.#db
      .selectFrom('group_members')
      .selectAll()
      .where('group_id', 'in', groupIds)
      .orderBy('added_at')
      .orderBy('member_id')
      .execute();
    return Map.groupBy(rows, ({ group_id }) => group_id);
  }

  /** Throws `scim_resource_already_exists` where it is one, `scim_resource_not_found` where there is no such user or group. */
  async addMember(groupId: string, member: NewMember): Promise<void> {
    if (member.id === groupId) throw new UaaError('invalid_scim_resource', 'A group cannot be a member of itself.');
    const added = await this.#db.transaction().execute(async (trx) => {
      const group = await trx
        .selectFrom('groups')
        .select('id')
        .where('id', '=', groupId)
        .forKeyShare()
        .executeTakeFirst();
      if (!group) throw noGroup(groupId);
      return this.#add(trx, groupId, member);
    });
    if (added === 'unknown') throw new UaaError('scim_resource_not_found', `Member ${member.id} does not exist`);
    if (added === 'there already') {
      throw new UaaError('scim_resource_already_exists', `${member.id} is already a member of the group`);
    }
  }

  /** Nobody deletes the member before the transaction ends. */
  async #add(trx: Transaction<UaaSchema>, groupId: string, { id, type, origin }: NewMember) {
    const table = type === 'USER' ? 'users' : 'groups';
    const exists = await trx.selectFrom(table).select('id').where('id', '=', id).forKeyShare().executeTakeFirst();
    if (!exists) return 'unknown';
    const added = await trx
      .insertInto('group_members')
      .values({ group_id: groupId, member_type: type, member_id: id, origin, added_at: this.#clock() })
      .onConflict((conflict) => conflict.doNothing())
      .returning('group_id')
      .executeTakeFirst();
    return added ? 'added' : 'there already';
  }

  /** False where it was none. */
  async removeMember(groupId: string, memberId: string): Promise<boolean> {
    const removed = await this.#db
      .deleteFrom('group_members')
      .where('group_id', '=', groupId)
      .where('member_id', '=', memberId)
      .returning('group_id')
      .execute();
    return removed.length > 0;
  }

  /** Puts the user into groups by name; names that do not exist and memberships that do are passed over. */
  async addUserToNamed(userId: string, origin: string, names: readonly string[]): Promise<void> {
    await this.#db
      .insertInto('group_members')
      .columns(['group_id', 'member_type', 'member_id', 'origin', 'added_at'])
      .expression((eb) =>
        eb
          .selectFrom('groups')
          .select((select) => [
            'groups.id',
            select.val<MemberType>('USER').as('member_type'),
            select.val(userId).as('member_id'),
            select.val(origin).as('origin'),
            sql<Date>`${this.#clock()}::timestamptz`.as('added_at'),
          ])
          .where('groups.display_name', 'in', names),
      )
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  /** All groups a user is in: entered, through another group, or because everybody is. */
  async ofUsers(userIds: readonly string[]): Promise<Map<string, GroupOfUser[]>> {
    const groups = new Map(userIds.map((id) => [id, [] as GroupOfUser[]]));
    if (userIds.length === 0) return groups;
    const { rows } = await sql<{ user_id: string; id: string; display_name: string; direct: boolean }>`
      WITH RECURSIVE membership (user_id, group_id, direct) AS (
        SELECT member_id, group_id, true FROM group_members
        WHERE member_type = 'USER' AND member_id = ANY (${userIds})
        UNION
        SELECT membership.user_id, outer_group.group_id, false FROM group_members outer_group
        JOIN membership ON outer_group.member_type = 'GROUP' AND outer_group.member_id = membership.group_id
      ), everybody AS (
        SELECT wanted.user_id, groups.id AS group_id, true AS direct
        FROM groups, unnest(${userIds}::text[]) AS wanted (user_id)
        WHERE groups.display_name = ANY (${DEFAULT_GROUPS})
      )
      SELECT every.user_id, groups.id, groups.display_name, bool_or(every.direct) AS direct
      FROM (SELECT * FROM membership UNION ALL SELECT * FROM everybody) every
      JOIN groups ON groups.id = every.group_id
      GROUP BY every.user_id, groups.id, groups.display_name
      ORDER BY groups.display_name
    `.execute(this.#db);
    for (const row of rows) {
      groups.get(row.user_id)?.push({ id: row.id, displayName: row.display_name, direct: row.direct });
    }
    return groups;
  }

  async namesOfUser(userId: string): Promise<Set<string>> {
    const groups = await this.ofUsers([userId]);
    return new Set(groups.get(userId)?.map((group) => group.displayName));
  }
}

/** `scim_resource_not_found`, 404. */
export function noGroup(id: string): UaaError {
  return new UaaError('scim_resource_not_found', `Group ${id} does not exist`);
}
