import {
  type ColumnType,
  type Generated,
  type Kysely,
  type RawBuilder,
  type Selectable,
  sql,
  type Transaction,
} from 'kysely';
import type { CfError } from './errors.ts';
import type { MetadataColumns } from './metadata-columns.ts';

/** The schema `cc`. Each resource's store adds its tables. */
// biome-ignore lint/suspicious/noEmptyInterface: it is filled by declarations elsewhere
export interface Database {}

/** The database or a transaction on it. */
export type Db = Kysely<Database>;

/** A transaction and nothing less: what is written with it stands with the rest of it, or not at all. */
export type Trx = Transaction<Database>;

/** What each resource's row begins with. `id` gives the order of creation. */
export interface RowColumns<Own extends string = string> {
  id: Generated<number>;
  guid: Own;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
}

/** A column that an insert may leave out. */
export type WithDefault<T> = ColumnType<T, T | undefined, T>;

/** What the row of a resource with metadata begins with. */
export type ResourceColumns<Own extends string = string> = RowColumns<Own> & {
  [Column in keyof MetadataColumns]: WithDefault<MetadataColumns[Column]>;
};

/** The time of the transaction, for updated_at. */
export const now: RawBuilder<Date> = sql<Date>`now()`;

/** How long work that is done for everybody in turn waits for somebody's lock. */
const LOCK_WAIT = sql`SET LOCAL lock_timeout = '500ms'`;

/**
 * A transaction of what is done for everybody, one after the other: who holds a lock holds up themselves and not those who
 * come after. Throws what `isLockTaken` knows; the work is tried again by its next run.
 */
export async function inTurn<Result>(db: Db, body: (trx: Trx) => Promise<Result>): Promise<Result> {
  return db.transaction().execute(async (trx) => {
    await LOCK_WAIT.execute(trx);
    return body(trx);
  });
}

/** Did somebody else hold a lock for too long? */
export function isLockTaken(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '55P03';
}

declare const LOCKED: unique symbol;

/** A row that was read under its lock: it stays what it is until the transaction ends. */
export type Locked<Row> = Row & { readonly [LOCKED]: true };

/** What the rows of a table have for a guid. */
type GuidIn<Table extends keyof Database> = Selectable<Database[Table]> extends { guid: infer Own } ? Own : never;

/**
 * Takes a row's lock and gives the row as it is then. What a change is worked out from is read like this and not before the
 * transaction: else it writes back what somebody else changed meanwhile. Throws `missing` where the row is gone.
 */
export async function lockRow<Table extends keyof Database>(
  trx: Trx,
  table: Table,
  guid: GuidIn<Table>,
  missing: CfError,
): Promise<Locked<Selectable<Database[Table]>>> {
  const { rows } = await sql<Locked<Selectable<Database[Table]>>>`
    SELECT * FROM ${sql.table(table)} WHERE guid = ${guid} FOR UPDATE`.execute(trx);
  const [row] = rows;
  if (row === undefined) throw missing;
  return row;
}

/** The same where what is read then is more, or less, than the row. Throws `missing` where the row is gone. */
export async function readLocked<Row, Table extends keyof Database>(
  trx: Trx,
  table: Table,
  guid: GuidIn<Table>,
  missing: CfError,
  read: () => Promise<Row | null>,
): Promise<Locked<Row>> {
  const { rows } = await sql`SELECT FROM ${sql.table(table)} WHERE guid = ${guid} FOR UPDATE`.execute(trx);
  const row = rows.length === 0 ? null : await read();
  if (row === null) throw missing;
  // The lock is what the mark says.
  return row as Locked<Row>;
}
