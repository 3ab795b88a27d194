import { sql } from 'kysely';
import type { Actor } from '../authorization.ts';
import { type Db, now, type RowColumns } from '../database.ts';
import type { ErrorBody } from '../errors.ts';
import { jsonb } from '../metadata.ts';

export interface JobTable extends RowColumns {
  /** Names the handler: "organization.delete". */
  operation: string;
  state: 'PROCESSING' | 'COMPLETE' | 'FAILED';
  /** The collection and guid its view links to. */
  resource_type: string | null;
  resource_guid: string | null;
  input: Record<string, unknown>;
  actor: Actor;
  errors: readonly ErrorBody[];
  warnings: readonly string[];
  attempts: number;
  /** A worker has it until then; past that any may take it. */
  locked_until: Date | null;
}

/** What a job's handler gets. */
export interface Job {
  guid: string;
  operation: string;
  resourceGuid: string | null;
  input: Record<string, unknown>;
  actor: Actor;
  attempts: number;
}

export interface NewJob {
  operation: string;
  actor: Actor;
  resource?: { type: string; guid: string };
  /** Kept in clear: no secrets. */
  input?: Record<string, unknown>;
}

/** Adds a job, in the caller's transaction if it has one. Gives its guid. */
export async function insertJob(db: Db, job: NewJob): Promise<string> {
  const guid = crypto.randomUUID();
  await db
    .insertInto('jobs')
    .values({
      guid,
      operation: job.operation,
      state: 'PROCESSING',
      resource_type: job.resource?.type ?? null,
      resource_guid: job.resource?.guid ?? null,
      input: jsonb(job.input ?? {}),
      actor: jsonb(job.actor),
      errors: jsonb<ErrorBody[]>([]),
      warnings: jsonb<string[]>([]),
      attempts: 0,
    })
    .execute();
  return guid;
}

/** Takes the oldest job that nobody works on; null where there is none. */
export async function claimJob(db: Db, operations: readonly string[], leaseSeconds: number): Promise<Job | null> {
  const row = await db
    .updateTable('jobs')
    .set({ locked_until: leaseEnd(leaseSeconds), attempts: sql`attempts + 1`, updated_at: now })
    .where('guid', 'in', (eb) =>
      eb
        .selectFrom('jobs')
        .select('guid')
        .where('state', '=', 'PROCESSING')
        .where('operation', 'in', operations)
        .where((or) => or.or([or('locked_until', 'is', null), or('locked_until', '<', now)]))
        .orderBy('id')
        .limit(1)
        .forUpdate()
        .skipLocked(),
    )
    .returning(['guid', 'operation', 'resource_guid', 'input', 'actor', 'attempts'])
    .executeTakeFirst();
  return row ? { ...row, resourceGuid: row.resource_guid } : null;
}

export async function renewJob(db: Db, guid: string, leaseSeconds: number): Promise<void> {
  await db
    .updateTable('jobs')
    .set({ locked_until: leaseEnd(leaseSeconds) })
    .where('guid', '=', guid)
    .execute();
}

/** Gives an unfinished job back, for another worker or another start. */
export async function releaseJob(db: Db, guid: string): Promise<void> {
  await db
    .updateTable('jobs')
    .set({ locked_until: null })
    .where('guid', '=', guid)
    .where('state', '=', 'PROCESSING')
    .execute();
}

export async function finishJob(
  db: Db,
  guid: string,
  end: { state: 'COMPLETE' | 'FAILED'; errors?: readonly ErrorBody[]; warnings?: readonly string[] },
): Promise<void> {
  await db
    .updateTable('jobs')
    .set({
      state: end.state,
      errors: jsonb(end.errors ?? []),
      warnings: jsonb(end.warnings ?? []),
      locked_until: null,
      updated_at: now,
    })
    .where('guid', '=', guid)
    .execute();
}

function leaseEnd(seconds: number) {
  return sql<Date>`now() + make_interval(secs => ${seconds})`;
}
