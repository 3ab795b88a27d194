import { sql } from 'kysely';
import type { Db } from './database.ts';

/** Of which the database knows how many rows there are (migration 021). */
const COUNTED = ['organizations', 'spaces', 'apps', 'routes'] as const;
type CountedTable = (typeof COUNTED)[number];

export function isCounted(table: string): table is CountedTable {
  return (COUNTED as readonly string[]).includes(table);
}

/** How many rows a table has. */
export async function rowsOf(db: Db, table: CountedTable): Promise<number> {
  const { rows } = await sql<{ rows: number }>`
    SELECT COALESCE(sum(rows), 0)::bigint AS rows FROM row_counts WHERE table_name = ${table}`.execute(db);
  return rows[0]?.rows ?? 0;
}
