import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import Cursor from 'pg-cursor';
import { SharedPool } from './database-shares.ts';
import { codeOf } from './errors.ts';
import type { Logger } from './log.ts';

pg.types.setTypeParser(pg.types.builtins.INT8, (value) => Number(value));

export interface DatabaseSettings {
  /** Directory of the server's Unix socket. */
  socketDirectory: string;
  port: number;
  database: string;
  /** The room's own role; it owns the schema and sees no other. */
  role: string;
  schema: string;
  maxConnections?: number;
}

/** Forward only: once released a migration never changes, and the version before must still run against its result. */
export interface Migration {
  name: string;
  sql: string;
}

/** A connection is waited for so long; then the request that needs it is told to come again. */
const CONNECT_MS = 10_000;

/** A pool whose search path is the room's schema alone. Nobody has more than their share of it (`database-shares.ts`). */
export function openDatabase<Schema>(settings: DatabaseSettings, log: Logger): Kysely<Schema> {
  const max = settings.maxConnections ?? 8;
  const pool = new pg.Pool({
    host: settings.socketDirectory,
    port: settings.port,
    database: settings.database,
    user: settings.role,
    max,
    idleTimeoutMillis: 30_000,
    connectionTimeoutMillis: CONNECT_MS,
    options: `-c search_path=${settings.schema} -c statement_timeout=30000 -c idle_in_transaction_session_timeout=30000`,
  });
  pool.on('error', () => {}); // an idle connection's end; it was logged below and the pool opens another
  // A connection that is lent out has no listener of the pool's; without one its end would end the process.
  pool.on('connect', (connection) =>
    connection.on('error', (error) =>
      log.warn('a database connection ended', { schema: settings.schema, error: error.message }),
    ),
  );
  return new Kysely<Schema>({
    dialect: new PostgresDialect({
      pool: new SharedPool(pool, Math.max(1, Math.floor(max / 2)), CONNECT_MS, isAway),
      cursor: Cursor,
    }),
  });
}

/** Brings the schema up to date; safe when several processes do it at once. */
export async function migrate<Schema>(
  db: Kysely<Schema>,
  schema: string,
  migrations: readonly Migration[],
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    // An index of a large table takes its time, and so does whoever else is at it.
    await sql`SET LOCAL statement_timeout = 0`.execute(trx);
    await sql`SELECT pg_advisory_xact_lock(hashtext(${`migrate:${schema}`}))`.execute(trx);
    await sql`CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`.execute(
      trx,
    );
    const applied = await sql<{ name: string }>`SELECT name FROM migrations`.execute(trx);
    const done = new Set(applied.rows.map((row) => row.name));
    for (const migration of migrations) {
      if (done.has(migration.name)) continue;
      await sql.raw(migration.sql).execute(trx);
      await sql`INSERT INTO migrations (name) VALUES (${migration.name})`.execute(trx);
    }
  });
}

const LOST = ['ECONNRESET', 'ECONNREFUSED', 'ENOENT', 'EPIPE', 'ETIMEDOUT'];

/** Whether no connection came about since the server is being started or ended. */
function isAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = codeOf(error) ?? '';
  return (
    code === '57P03' ||
    code === 'ECONNREFUSED' ||
    (code === 'ENOENT' && 'syscall' in error && error.syscall === 'connect')
  );
}

/** What pg says, without a code, of a connection that broke, of one that had broken before, and of none that came about. */
const ENDED =
  /^Connection terminated|^Client has encountered a connection error|^timeout exceeded when trying to connect/;

/** Will it perhaps do in a moment: the database was away, had no room or took somebody else first? */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = codeOf(error) ?? '';
  // PostgreSQL: connection lost, shutting down or starting, disk full, too many connections, serialization failure, deadlock, foreign key,
  // and a statement, or a wait within a transaction, that took longer than it may: the server stood still.
  if (/^(08...|57P0[123]|57014|25P03|53[13]00|40001|40P01|23503)$/.test(code)) return true;
  // The server's socket is not there while it starts; any other file that is missing does not come by waiting.
  if (LOST.includes(code) && (code !== 'ENOENT' || ('syscall' in error && error.syscall === 'connect'))) return true;
  return ENDED.test(error.message) || isTransient(error.cause);
}
