import { type DescMessage, fromJson, type JsonValue, type MessageShape } from '@bufbuild/protobuf';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Migration } from '../kit/database.ts';
import { codeOf } from '../kit/errors.ts';

/** The bbs schema. The room speaks SQL; the tables' columns are typed where they are read. */
export type BbsSchema = Record<never, never>;
export type BbsDatabase = Kysely<BbsSchema>;
export type BbsTransaction = Transaction<BbsSchema>;

export type ActualLrpState = 'UNCLAIMED' | 'CLAIMED' | 'RUNNING' | 'CRASHED';
export type TaskState = 'PENDING' | 'RUNNING' | 'COMPLETED';

/**
 * `definition` is the sealed protobuf of the LRP or task: environment, start command and signed URLs are in no other
 * column (CC-02). Times are milliseconds since 1970. `placed_until_ms` reserves work for the cell it was given to.
 */
export const MIGRATIONS: readonly Migration[] = [
  {
    name: '0001-lrps-tasks-cells',
    sql: `
      CREATE TABLE desired_lrps (
        process_guid text PRIMARY KEY,
        instances integer NOT NULL CHECK (instances >= 0),
        annotation text NOT NULL,
        stack text NOT NULL,
        placement_tags text[] NOT NULL,
        memory_mb integer NOT NULL,
        disk_mb integer NOT NULL,
        routes jsonb NOT NULL,
        egress_rules jsonb NOT NULL,
        owner jsonb NOT NULL,
        definition bytea NOT NULL,
        key_label text NOT NULL
      );
      CREATE TABLE actual_lrps (
        process_guid text NOT NULL,
        index integer NOT NULL CHECK (index >= 0),
        state text NOT NULL CHECK (state IN ('UNCLAIMED', 'CLAIMED', 'RUNNING', 'CRASHED')),
        instance_guid text NOT NULL DEFAULT '',
        cell_id text NOT NULL DEFAULT '',
        since_ms bigint NOT NULL,
        crash_count integer NOT NULL DEFAULT 0,
        crash_reason text NOT NULL DEFAULT '',
        restart_at_ms bigint NOT NULL DEFAULT 0,
        placement_error text NOT NULL DEFAULT '',
        placed_cell text NOT NULL DEFAULT '',
        placed_until_ms bigint NOT NULL DEFAULT 0,
        instance_address text NOT NULL DEFAULT '',
        host_address text NOT NULL DEFAULT '',
        ports jsonb NOT NULL DEFAULT '[]',
        PRIMARY KEY (process_guid, index),
        CHECK ((state IN ('CLAIMED', 'RUNNING')) = (cell_id <> ''))
      ) WITH (fillfactor = 80);
      CREATE INDEX actual_lrps_waiting ON actual_lrps (state) WHERE state IN ('UNCLAIMED', 'CRASHED');
      CREATE INDEX actual_lrps_cell ON actual_lrps (cell_id) WHERE cell_id <> '';
      CREATE TABLE tasks (
        task_guid text PRIMARY KEY,
        domain text NOT NULL,
        state text NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'COMPLETED')),
        cell_id text NOT NULL DEFAULT '',
        stack text NOT NULL,
        placement_tags text[] NOT NULL,
        memory_mb integer NOT NULL,
        disk_mb integer NOT NULL,
        owner jsonb NOT NULL,
        failed boolean NOT NULL DEFAULT false,
        failure_reason text NOT NULL DEFAULT '',
        result text NOT NULL DEFAULT '',
        created_ms bigint NOT NULL,
        timeout_seconds integer NOT NULL,
        placement_error text NOT NULL DEFAULT '',
        placed_cell text NOT NULL DEFAULT '',
        placed_until_ms bigint NOT NULL DEFAULT 0,
        completion_attempts integer NOT NULL DEFAULT 0,
        completion_due_ms bigint NOT NULL DEFAULT 0,
        definition bytea NOT NULL,
        key_label text NOT NULL
      );
      CREATE INDEX tasks_state ON tasks (state);
      CREATE TABLE cells (
        cell_id text PRIMARY KEY,
        zone text NOT NULL,
        rep_url text NOT NULL,
        memory_mb integer NOT NULL,
        disk_mb integer NOT NULL,
        containers integer NOT NULL,
        stacks text[] NOT NULL,
        placement_tags text[] NOT NULL,
        last_seen_ms bigint NOT NULL
      );`,
  },
  {
    name: '0002-readiness',
    // True where nobody says otherwise: for instances reported by a version that knows of no readiness.
    sql: 'ALTER TABLE actual_lrps ADD COLUMN routable boolean NOT NULL DEFAULT true;',
  },
  {
    // An instance that leaves its drained cell has a row of its own; the place it had is in actual_lrps, free for another.
    name: '0003-drain-and-notices',
    sql: `
      ALTER TABLE cells ADD COLUMN address text NOT NULL DEFAULT '';
      CREATE TABLE cell_drains (
        cell_id text PRIMARY KEY,
        since_ms bigint NOT NULL
      );
      CREATE TABLE evacuating_lrps (
        process_guid text NOT NULL,
        index integer NOT NULL,
        instance_guid text PRIMARY KEY,
        cell_id text NOT NULL,
        since_ms bigint NOT NULL,
        instance_address text NOT NULL,
        host_address text NOT NULL,
        routable boolean NOT NULL,
        ports jsonb NOT NULL
      );
      CREATE INDEX evacuating_lrps_process ON evacuating_lrps (process_guid, index);
      CREATE INDEX evacuating_lrps_cell ON evacuating_lrps (cell_id);
      CREATE TABLE notices (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        process_guid text NOT NULL,
        index integer NOT NULL,
        instance_guid text NOT NULL,
        cell_id text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('crash', 'readiness')),
        reason text NOT NULL DEFAULT '',
        crash_count integer NOT NULL DEFAULT 0,
        ready boolean NOT NULL DEFAULT false,
        created_ms bigint NOT NULL,
        due_ms bigint NOT NULL
      );
      CREATE INDEX notices_due ON notices (due_ms);`,
  },
  {
    name: '0004-desired-by-app',
    sql: `
      CREATE INDEX desired_lrps_app ON desired_lrps ((coalesce(owner->>'appGuid', '')));`,
  },
  {
    // Of an instance that runs: since when it is ready, or not. From before this it is ready since it runs.
    name: '0005-since-readiness',
    sql: `
      ALTER TABLE actual_lrps ADD COLUMN readiness_since_ms bigint NOT NULL DEFAULT 0;
      UPDATE actual_lrps SET readiness_since_ms = since_ms;`,
  },
];

/** Runs a short transaction again when PostgreSQL ended it for a deadlock or a serialization conflict. */
export async function shortTransaction<Result>(
  db: BbsDatabase,
  body: (trx: BbsTransaction) => Promise<Result>,
): Promise<Result> {
  return retryConflicts(() => db.transaction().execute(body));
}

/** The same for one statement. */
export async function retryConflicts<Result>(body: () => Promise<Result>, attempts = 4): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await body();
    } catch (error) {
      const code = codeOf(error);
      if ((code !== '40P01' && code !== '40001') || attempt === attempts) throw error;
    }
  }
}

/** Condition: the actual LRP `a` is one that is desired. */
export const IS_DESIRED = sql`EXISTS (
  SELECT 1 FROM desired_lrps d WHERE d.process_guid = a.process_guid AND a.index < d.instances)`;

/** Assignments that make an actual LRP's row one that nobody has. */
export const VACATED =
  sql.raw(`cell_id = '', instance_guid = '', instance_address = '', host_address = '', routable = true,
  ports = '[]', placed_cell = '', placed_until_ms = 0`);
/** The same, to be placed. */
export const NOBODYS = sql`state = 'UNCLAIMED', restart_at_ms = 0, ${VACATED}`;

/** A message of a jsonb column. A newer version may have written fields that this one does not know. */
export function stored<Desc extends DescMessage>(schema: Desc, json: JsonValue): MessageShape<Desc> {
  return fromJson(schema, json, { ignoreUnknownFields: true });
}
