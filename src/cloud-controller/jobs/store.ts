import { type RawBuilder, type Selectable, sql } from 'kysely';
import type { Actor } from '../authorization.ts';
import { type Db, now, type RowColumns } from '../database.ts';
import { CfError, type ErrorBody } from '../errors.ts';
import { jsonb } from '../metadata.ts';

declare module '../database.ts' {
  interface Database {
    jobs: JobTable;
  }
}

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

/** What is told of a job: not what it works on. */
export type JobStatus = Omit<Selectable<JobTable>, 'id' | 'input' | 'actor' | 'attempts' | 'locked_until'>;

export async function findJob(db: Db, guid: string): Promise<JobStatus | null> {
  const row = await db
    .selectFrom('jobs')
    .select(['guid', 'created_at', 'updated_at', 'operation', 'state', 'errors', 'warnings'])
    .select(['resource_type', 'resource_guid'])
    .where('guid', '=', guid)
    .executeTakeFirst();
  return row ?? null;
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

/** Of one caller, what may be unfinished: the bytes are those of the inputs as they are stored. */
const MOST_UNFINISHED = { jobs: 1_000, bytes: 32 * 1024 ** 2 };

/** Adds a job, in the caller's transaction if it has one. Gives its guid. Throws RateLimitExceeded where many of the caller are unfinished. */
export async function insertJob(db: Db, job: NewJob): Promise<string> {
  return db.isTransaction ? addJob(db, job) : db.transaction().execute((trx) => addJob(trx, job));
}

async function addJob(trx: Db, job: NewJob): Promise<string> {
  await refuseUnfinished(trx, job.actor);
  const guid = crypto.randomUUID();
  await trx
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

/** Of two that come at once the later counts the earlier. */
async function refuseUnfinished(trx: Db, actor: Actor): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtext('jobs'), hashtext(${actor.guid}))`.execute(trx);
  const { jobs, bytes } = await trx
    .selectFrom('jobs')
    .select([
      sql<number>`count(*)`.as('jobs'),
      sql<number>`coalesce(sum(pg_column_size(input)), 0)::bigint`.as('bytes'),
    ])
    .where('state', '=', 'PROCESSING')
    .where(sql<string>`actor ->> 'guid'`, '=', actor.guid)
    .executeTakeFirstOrThrow();
  if (jobs < MOST_UNFINISHED.jobs && bytes < MOST_UNFINISHED.bytes) return;
  throw new CfError(
    'RateLimitExceeded',
    'Too much of what you asked for is not done yet. Try again when some of it is.',
  );
}

/** Whose job a worker takes. */
export interface Turn {
  /** The caller whose turn it was last: those that come after have theirs first. */
  after: string;
  /** Callers for whom enough is done already. */
  passing: readonly string[];
}

/**
 * Takes the oldest job that nobody works on of the caller whose turn it is; null where there is none. It goes from caller
 * to caller by an index, one step for each that has something unfinished, and no further than the first that has a job.
 */
export async function claimJob(
  db: Db,
  operations: readonly string[],
  leaseSeconds: number,
  { after, passing }: Turn,
): Promise<Job | null> {
  const nextCaller = (since: RawBuilder<unknown>) => sql`(SELECT actor ->> 'guid' FROM jobs
    WHERE state = 'PROCESSING' AND actor ->> 'guid' > ${since} ORDER BY actor ->> 'guid' LIMIT 1)`;
  // The first time round those after, the second time those before.
  const found = sql<string>`(
    WITH RECURSIVE callers (round, caller) AS (
      SELECT 1, ${nextCaller(sql`${after}::text`)}
      UNION ALL
      SELECT round + (caller IS NULL)::integer, ${nextCaller(sql`coalesce(caller, '')`)} FROM callers
      WHERE round = 1 OR caller < ${after}::text)
    SELECT oldest.guid FROM callers, LATERAL (
      SELECT guid FROM jobs
      WHERE state = 'PROCESSING' AND actor ->> 'guid' = caller AND operation = ANY(${operations})
        AND (locked_until IS NULL OR locked_until < now())
      ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) AS oldest
    WHERE caller <> ALL(${passing}::text[])
    LIMIT 1)`;
  const row = await db
    .updateTable('jobs')
    .set({ locked_until: leaseEnd(leaseSeconds), attempts: sql`attempts + 1`, updated_at: now })
    .where('guid', '=', found)
    .returning(['guid', 'operation', 'resource_guid', 'input', 'actor', 'attempts'])
    .executeTakeFirst();
  return row ? { ...row, resourceGuid: row.resource_guid } : null;
}

/** Who asked for something that is not done yet; null where nobody did. */
export async function pendingActor(db: Db, operation: string, resourceGuid: string): Promise<Actor | null> {
  const row = await db
    .selectFrom('jobs')
    .select('actor')
    .where('state', '=', 'PROCESSING')
    .where('operation', '=', operation)
    .where('resource_guid', '=', resourceGuid)
    .executeTakeFirst();
  return row?.actor ?? null;
}

/** Of these resources, those that somebody asked to have deleted or changed by this operation, which is not done yet. */
export async function pendingResources(db: Db, operation: string, guids: readonly string[]): Promise<string[]> {
  if (guids.length === 0) return [];
  const rows = await db
    .selectFrom('jobs')
    .select('resource_guid')
    .where('state', '=', 'PROCESSING')
    .where('operation', '=', operation)
    .where('resource_guid', 'in', guids)
    .execute();
  return rows.flatMap(({ resource_guid: guid }) => guid ?? []);
}

export async function renewJob(db: Db, guid: string, leaseSeconds: number): Promise<void> {
  await db
    .updateTable('jobs')
    .set({ locked_until: leaseEnd(leaseSeconds) })
    .where('guid', '=', guid)
    .execute();
}

/** Lets an unfinished job rest; then somebody takes it up again. */
export async function postponeJob(db: Db, guid: string, seconds: number): Promise<void> {
  await db
    .updateTable('jobs')
    .set({ locked_until: leaseEnd(seconds) })
    .where('guid', '=', guid)
    .where('state', '=', 'PROCESSING')
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
      // A manifest, for one: nobody reads it any more.
      input: jsonb({}),
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
