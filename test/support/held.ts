import { type Kysely, sql, type Transaction } from 'kysely';
import type { Trx } from '../../src/cloud-controller/database.ts';
import { eventually } from './apps.ts';

/**
 * Makes a race: `first` is done in a transaction, `second` begins while it is not committed, and it is committed once as many
 * statements as told wait for a lock, or once `second` ended without; `last` is done just before. Gives what `second` gave.
 */
export async function whileHeld<T, Schema>(
  db: Kysely<Schema>,
  first: (trx: Transaction<Schema>) => Promise<unknown>,
  second: () => Promise<T>,
  { waiting = 1, last }: { waiting?: number; last?: (trx: Transaction<Schema>) => Promise<unknown> } = {},
): Promise<T> {
  const begun = await db.transaction().execute(async (trx) => {
    await first(trx);
    const result = second();
    const ended = result.then(
      () => true,
      () => true,
    );
    await Promise.race([ended, eventually(async () => (await waits(db)) >= waiting)]);
    await last?.(trx);
    return { result };
  });
  return begun.result;
}

/** How many statements wait for a lock. */
export async function waits<Schema>(db: Kysely<Schema>): Promise<number> {
  const { rows } = await sql<{ n: number }>`
    SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'`.execute(db);
  return rows[0]?.n ?? 0;
}

/** Takes the lock of a row. */
export function lock(table: string, guid: string): (trx: Trx) => Promise<unknown> {
  return (trx) => sql`SELECT guid FROM ${sql.table(table)} WHERE guid = ${guid} FOR UPDATE`.execute(trx);
}
