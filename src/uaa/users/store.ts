import { randomUUID } from 'node:crypto';
import { type Kysely, type Selectable, sql } from 'kysely';
import pg from 'pg';
import { UaaError } from '../errors.ts';
import type { UaaSchema } from '../schema.ts';
import type { ScimFilter } from '../scim/filter.ts';
import { filterSql, type ScimAttributes, type ScimPage, type SortOrder, USER_ATTRIBUTES } from '../scim/sql.ts';
import type { Clock } from '../settings.ts';

export type User = Readonly<Selectable<UaaSchema['users']>>;

/** What a client may say of a user; the password comes as a hash. */
export interface UserValues {
  user_name: string;
  origin: string;
  external_id: string | null;
  given_name: string | null;
  family_name: string | null;
  email: string;
  phone_number: string | null;
  active: boolean;
  verified: boolean;
}

/** The users. Names are unique within an origin without regard to case. */
export class UserStore {
  readonly #db: Kysely<UaaSchema>;
  readonly #clock: Clock;

  constructor(db: Kysely<UaaSchema>, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  async byId(id: string): Promise<User | null> {
    const row = await this.#db.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirst();
    return row ?? null;
  }

  async byIds(ids: readonly string[]): Promise<User[]> {
    if (ids.length === 0) return [];
    return this.#db.selectFrom('users').selectAll().where('id', 'in', ids).execute();
  }

  async byName(userName: string, origin: string): Promise<User | null> {
    const row = await this.#db
      .selectFrom('users')
      .selectAll()
      .where(sql<string>`lower(user_name)`, '=', sql<string>`lower(${userName}::text)`)
      .where('origin', '=', origin)
      .executeTakeFirst();
    return row ?? null;
  }

  async list(
    filter: ScimFilter | null,
    page: ScimPage,
    order: SortOrder,
    attributes: ScimAttributes = USER_ATTRIBUTES,
  ): Promise<{ users: User[]; total: number }> {
    const where = filterSql(filter, attributes);
    const users = await this.#db
      .selectFrom('users')
      .selectAll()
      .where(where)
      .orderBy(order.column(attributes), order.direction)
      .orderBy('id')
      .offset(page.offset)
      .limit(page.limit)
      .execute();
    const { total } = await this.#db
      .selectFrom('users')
      .select((eb) => eb.fn.countAll<number>().as('total'))
      .where(where)
      .executeTakeFirstOrThrow();
    return { users, total };
  }

  /** Throws `scim_resource_already_exists` with the other's id, as clients that race expect. */
  async create(values: UserValues, passwordHash: string | null): Promise<User> {
    const now = this.#clock();
    const row = await this.#db
      .insertInto('users')
      .values({
        ...values,
        id: randomUUID(),
        password_hash: passwordHash,
        password_changed_at: passwordHash === null ? null : now,
        created_at: now,
        updated_at: now,
      })
      .onConflict((conflict) => conflict.doNothing())
      .returningAll()
      .executeTakeFirst();
    return row ?? this.#alreadyExists(values.user_name, values.origin);
  }

  /** Throws `scim_resource_conflict` where it has another version by now, `scim_resource_already_exists`. */
  async update(id: string, values: UserValues, version: number): Promise<User> {
    const other = await this.byName(values.user_name, values.origin);
    if (other && other.id !== id) return this.#alreadyExists(values.user_name, values.origin);
    const changed = this.#db
      .updateTable('users')
      .set((eb) => ({ ...values, version: eb('version', '+', 1), updated_at: this.#clock() }))
      .where('id', '=', id)
      .where('version', '=', version)
      .returningAll()
      .executeTakeFirst();
    const row = await changed.catch((error: unknown) => {
      if (!isNameTaken(error)) throw error;
      return this.#alreadyExists(values.user_name, values.origin);
    });
    if (!row) throw changedMeanwhile();
    return row;
  }

  /**
   * Over the password that was read, or over any. Throws `scim_resource_conflict` where it has been changed by now,
   * `scim_resource_not_found`.
   */
  async setPassword(read: User, passwordHash: string, over: 'the same' | 'any'): Promise<void> {
    const now = this.#clock();
    const changed = await this.#db
      .updateTable('users')
      .set((eb) => ({
        password_hash: passwordHash,
        password_changed_at: now,
        version: eb('version', '+', 1),
        updated_at: now,
      }))
      .where('id', '=', read.id)
      .$if(over === 'the same', (query) => query.where('password_hash', 'is not distinct from', read.password_hash))
      .returning('id')
      .executeTakeFirst();
    if (!changed) throw (await this.byId(read.id)) ? changedMeanwhile() : noUser(read.id);
  }

  /** Ends every token of the user; false where there is none of this id. */
  async endTokens(id: string): Promise<boolean> {
    const changed = await this.#db
      .updateTable('users')
      .set({ token_salt: randomUUID() })
      .where('id', '=', id)
      .returning('id')
      .executeTakeFirst();
    return changed !== undefined;
  }

  async recordLogon(id: string): Promise<void> {
    await this.#db
      .updateTable('users')
      .set((eb) => ({ previous_logon_at: eb.ref('last_logon_at'), last_logon_at: this.#clock() }))
      .where('id', '=', id)
      .execute();
  }

  /** With its memberships; the id is kept so that no client takes it. Throws `scim_resource_conflict` where it has another version. */
  async delete(id: string, version: number | 'any'): Promise<void> {
    await this.#db.transaction().execute(async (trx) => {
      // The user first: who is adding them to a group then waits, and finds nobody.
      const gone = await trx
        .deleteFrom('users')
        .where('id', '=', id)
        .$if(version !== 'any', (query) => query.where('version', '=', Number(version)))
        .returning('id')
        .executeTakeFirst();
      if (!gone) throw changedMeanwhile();
      await trx.deleteFrom('group_members').where('member_type', '=', 'USER').where('member_id', '=', id).execute();
      await trx
        .insertInto('former_users')
        .values({ id, deleted_at: this.#clock() })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    });
  }

  async #alreadyExists(userName: string, origin: string): Promise<never> {
    const other = await this.byName(userName, origin);
    throw new UaaError('scim_resource_already_exists', `Username already in use: ${userName}`, {
      extra: other ? { user_id: other.id, active: other.active, verified: other.verified } : {},
    });
  }
}

/** What the unique index says to whoever took a name while another did. */
function isNameTaken(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '23505' && error.constraint === 'users_name';
}

/** `scim_resource_not_found`, 404. */
export function noUser(id: string): UaaError {
  return new UaaError('scim_resource_not_found', `User ${id} does not exist`);
}

function changedMeanwhile(): UaaError {
  return new UaaError('scim_resource_conflict', 'The user has been changed by somebody else meanwhile.');
}
