import { randomUUID } from 'node:crypto';
import type { Kysely, Selectable } from 'kysely';
import { sql } from 'kysely';
import { UaaError } from '../errors.ts';
import type { MemberType, UaaSchema } from '../schema.ts';
import type { ScimFilter } from '../scim/filter.ts';
import { filterSql, GROUP_ATTRIBUTES, type ScimPage, type SortOrder } from '../scim/sql.ts';
import type { Clock } from '../settings.ts';
import { DEFAULT_GROUPS } from './names.ts';

export type Group = Readonly<Selectable<UaaSchema['groups']>>;
export type Member = Readonly<Selectable<UaaSchema['group_members']>>;
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

  /** Throws `scim_resource_already_exists`. */
  async create(displayName: string, description: string | null): Promise<Group> {
    const now = this.#clock();
    const row = await this.#db
      .insertInto('groups')
      .values({ id: randomUUID(), display_name: displayName, description, created_at: now, updated_at: now })
      .onConflict((conflict) => conflict.doNothing())
      .returningAll()
      .executeTakeFirst();
    if (!row) {
      throw new UaaError('scim_resource_already_exists', `A group with displayName: ${displayName} already exists.`);
    }
    return row;
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

  /** Throws `scim_resource_already_exists` where it is one, `scim_resource_not_found` where there is no such user or group. */
  async addMember(groupId: string, type: MemberType, memberId: string, origin: string): Promise<void> {
    const table = type === 'USER' ? 'users' : 'groups';
    const exists = await this.#db.selectFrom(table).select('id').where('id', '=', memberId).executeTakeFirst();
    if (!exists) throw new UaaError('scim_resource_not_found', `Member ${memberId} does not exist`);
    const added = await this.#db
      .insertInto('group_members')
      .values({ group_id: groupId, member_type: type, member_id: memberId, origin, added_at: this.#clock() })
      .onConflict((conflict) => conflict.doNothing())
      .returning('group_id')
      .executeTakeFirst();
    if (!added) throw new UaaError('scim_resource_already_exists', `${memberId} is already a member of the group`);
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
