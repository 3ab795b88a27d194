import { type Kysely, sql, type Transaction } from 'kysely';

/** How many rows of each table `work` read one after the other, without an index. Nothing of what it does stays. */
export async function rowsScanned<Schema>(
  db: Kysely<Schema>,
  work: (trx: Transaction<Schema>) => Promise<unknown>,
): Promise<Map<string, number>> {
  const read = async (trx: Transaction<Schema>): Promise<Map<string, number>> => {
    const { rows } = await sql<{ relname: string; seq_tup_read: number }>`
      SELECT relname, seq_tup_read FROM pg_stat_xact_user_tables`.execute(trx);
    return new Map(rows.map((row) => [row.relname, row.seq_tup_read]));
  };
  const transaction = await db.startTransaction().execute();
  try {
    const before = await read(transaction);
    await work(transaction);
    const after = await read(transaction);
    return new Map([...after].map(([table, rows]) => [table, rows - (before.get(table) ?? 0)]));
  } finally {
    await transaction.rollback().execute();
  }
}
