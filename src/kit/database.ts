import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely';
import pg from 'pg';
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

/** A pool whose search path is the room's schema alone. */
export function openDatabase<Schema>(settings: DatabaseSettings, log: Logger): Kysely<Schema> {
  const pool = new pg.Pool({
    host: settings.socketDirectory,
    port: settings.port,
    database: settings.database,
    user: settings.role,
    max: settings.maxConnections ?? 8,
    idleTimeoutMillis: 30_000,
    connectionTimeoutMillis: 10_000,
    options: `-c search_path=${settings.schema} -c statement_timeout=30000 -c idle_in_transaction_session_timeout=30000`,
  });
  pool.on('error', (error) =>
    log.warn('an idle database connection ended', { schema: settings.schema, error: error.message }),
  );
  return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
}

/** Brings the schema up to date; safe when several processes do it at once. */
export async function migrate<Schema>(
  db: Kysely<Schema>,
  schema: string,
  migrations: readonly Migration[],
): Promise<void> {
  await db.transaction().execute(async (trx) => {
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

/**
 * Runs `body` in a transaction while no other process runs the body of the same lock.
 * Gives null at once where somebody else holds it.
 */
export function withLeadership<Schema, Result>(
  db: Kysely<Schema>,
  name: string,
  body: (trx: Transaction<Schema>) => Promise<Result>,
): Promise<Result | null> {
  return db.transaction().execute(async (trx) => {
    const lock = await sql<{ held: boolean }>`SELECT pg_try_advisory_xact_lock(hashtext(${name})) AS held`.execute(trx);
    return lock.rows[0]?.held ? body(trx) : null;
  });
}
