import { type RawBuilder, type Selectable, type SelectQueryBuilder, sql } from 'kysely';
import type { UserDirectory } from '../../contracts/user-directory.ts';
import type { Caller, Visible } from '../authorization.ts';
import { type Database, type Db, now, type RowColumns } from '../database.ts';
import { badQuery } from '../errors.ts';
import { narrow, type Page, page } from '../list.ts';
import { jsonb, type MetadataColumns, type MetadataInput, mergeMetadata, metadataColumns } from '../metadata.ts';
import type { Query, QueryRules } from '../query.ts';

export interface UserTable extends RowColumns, MetadataColumns {}
export type User = Selectable<UserTable>;

export const userQuery = {
  list: true,
  labels: true,
  filters: ['usernames', 'partial_usernames', 'origins'],
} as const satisfies QueryRules;

const known = new WeakMap<Db, Set<string>>();
const MAX_KNOWN = 50_000;

/** Whoever calls is a user here from then on, so that roles can be given by guid. */
export async function rememberUser(db: Db, guid: string): Promise<void> {
  const seen = known.get(db) ?? new Set<string>();
  known.set(db, seen);
  if (seen.has(guid)) return;
  await insertUser(db, guid);
  if (seen.size >= MAX_KNOWN) seen.clear();
  seen.add(guid);
}

/** False where the user was there already. */
export async function insertUser(db: Db, guid: string, metadata?: MetadataInput): Promise<boolean> {
  const { labels, annotations } = mergeMetadata({ labels: {}, annotations: {} }, metadata);
  const result = await db
    .insertInto('users')
    .values({ guid, labels: jsonb(labels), annotations: jsonb(annotations) })
    .onConflict((conflict) => conflict.column('guid').doNothing())
    .executeTakeFirst();
  return result.numInsertedOrUpdatedRows === 1n;
}

export async function updateUser(db: Db, user: User, metadata: MetadataInput | undefined): Promise<User> {
  return db
    .updateTable('users')
    .set({ ...metadataColumns(mergeMetadata(user, metadata)), updated_at: now })
    .where('guid', '=', user.guid)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** The user with all their roles. */
export async function deleteUser(db: Db, guid: string): Promise<void> {
  known.get(db)?.delete(guid);
  await db.deleteFrom('users').where('guid', '=', guid).execute();
}

export async function findUsers(db: Db, guids: readonly string[]): Promise<User[]> {
  return guids.length === 0
    ? []
    : db.selectFrom('users').selectAll().where('guid', 'in', guids).orderBy('id').execute();
}

/** Which users a list is about. */
export type Among =
  | { kind: 'visible'; caller: Caller; organizations: Visible }
  | { kind: 'organization' | 'space'; guid: string };

export async function listUsers(db: Db, directory: UserDirectory, query: Query, among: Among): Promise<Page<User>> {
  let select: SelectQueryBuilder<Database, 'users', User> = narrow(
    db.selectFrom('users').selectAll('users'),
    'users',
    query,
  );
  const condition = membership(among);
  if (condition) select = select.where(condition);
  const named = await namedUsers(directory, query);
  if (named) select = select.where(sql<boolean>`users.guid = ANY(${named})`);
  return page(db, select, 'users', query);
}

/** May the caller see this user: themselves, or somebody in an organization they see. */
export async function isVisibleUser(db: Db, guid: string, among: Among): Promise<boolean> {
  const condition = membership(among) ?? sql<boolean>`true`;
  const row = await db.selectFrom('users').select('guid').where('guid', '=', guid).where(condition).executeTakeFirst();
  return row !== undefined;
}

function membership(among: Among): RawBuilder<boolean> | null {
  switch (among.kind) {
    case 'visible': {
      if (among.organizations.everything) return null;
      const { guids } = among.organizations;
      return sql<boolean>`(users.guid = ${among.caller.userGuid} OR users.guid IN
        (SELECT user_guid FROM roles WHERE organization_guid IN ${guids}))`;
    }
    case 'organization':
      return sql<boolean>`users.guid IN (SELECT user_guid FROM roles WHERE organization_guid = ${among.guid})`;
    case 'space':
      return sql<boolean>`users.guid IN (SELECT user_guid FROM roles WHERE space_guid = ${among.guid})`;
  }
}

/** Ids of the users a query names; null where it names none. */
async function namedUsers(directory: UserDirectory, query: Query): Promise<string[] | null> {
  const names = query.filters.get('usernames');
  const parts = query.filters.get('partial_usernames');
  const origins = query.filters.get('origins');
  if (names && parts) throw badQuery('Usernames cannot be provided when partial_usernames is provided');
  if (!names && !parts) {
    if (origins) throw badQuery('Origins filter cannot be provided without usernames or partial_usernames filter.');
    return null;
  }
  const found = names
    ? (await Promise.all(names.map((name) => directory.byName(name)))).flat()
    : await directory.byPartialNames(parts ?? []);
  return found.filter((user) => !origins || origins.includes(user.origin)).map((user) => user.id);
}
