import type { Db } from '../database.ts';
import { jsonb } from '../metadata.ts';

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

/** A deleted user must be remembered anew on the next call. */
export function forgetUser(db: Db, guid: string): void {
  known.get(db)?.delete(guid);
}

/** False where the user was there already. */
export async function insertUser(db: Db, guid: string): Promise<boolean> {
  const result = await db
    .insertInto('users')
    .values({ guid, labels: jsonb({}), annotations: jsonb({}) })
    .onConflict((conflict) => conflict.column('guid').doNothing())
    .executeTakeFirst();
  return result.numInsertedOrUpdatedRows === 1n;
}
