import { type RawBuilder, type Selectable, sql } from 'kysely';
import type { Db, RowColumns, Trx } from '../database.ts';
import { notFound } from '../errors.ts';
import { changeMetadata, type MetadataColumns, type MetadataInput, newMetadata } from '../metadata.ts';

declare module '../database.ts' {
  interface Database {
    users: UserTable;
  }
}

export interface UserTable extends RowColumns, MetadataColumns {}
export type User = Selectable<UserTable>;

const known = new WeakMap<Db, Set<string>>();
const MAX_KNOWN = 50_000;

/** Whoever calls is a user here from then on, so that roles can be given by guid. */
export async function rememberUser(db: Db, guid: string): Promise<void> {
  const seen = known.get(db) ?? new Set<string>();
  known.set(db, seen);
  if (seen.has(guid)) return;
  await db.transaction().execute((trx) => insertUser(trx, guid));
  if (seen.size >= MAX_KNOWN) seen.clear();
  seen.add(guid);
}

/** Who is deleted is a user again with their next call. */
export function forgetUser(db: Db, guid: string): void {
  known.get(db)?.delete(guid);
}

export function selectUsers(db: Db) {
  return db.selectFrom('users').selectAll('users');
}

/** Null too for a user that `condition` leaves out. */
export async function findUser(db: Db, guid: string, condition: RawBuilder<boolean> | null): Promise<User | null> {
  const select = selectUsers(db).where('users.guid', '=', guid);
  return (await select.where(condition ?? sql<boolean>`true`).executeTakeFirst()) ?? null;
}

/** Null where the user was there already. */
export async function insertUser(trx: Trx, guid: string, metadata?: MetadataInput): Promise<User | null> {
  const made = await trx
    .insertInto('users')
    .values({ guid, ...newMetadata(metadata) })
    .onConflict((conflict) => conflict.column('guid').doNothing())
    .returningAll()
    .executeTakeFirst();
  return made ?? null;
}

/** Gives what is changed. */
export async function updateUser(trx: Trx, guid: string, metadata: MetadataInput | undefined) {
  return changeMetadata(trx, 'users', guid, metadata, notFound('User'));
}

/** Deletes a user, but not while they have a role. */
export async function deleteUserWithoutRoles(trx: Trx, guid: string): Promise<'deleted' | 'gone' | 'has roles'> {
  // From here on no role comes to them.
  await trx.selectFrom('users').select('guid').where('guid', '=', guid).forUpdate().execute();
  const role = await trx.selectFrom('roles').select('guid').where('user_guid', '=', guid).executeTakeFirst();
  if (role) return 'has roles';
  const deleted = await trx.deleteFrom('users').where('guid', '=', guid).returning('guid').executeTakeFirst();
  return deleted ? 'deleted' : 'gone';
}
