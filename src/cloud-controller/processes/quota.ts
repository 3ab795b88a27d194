import { sql } from 'kysely';
import type { App } from '../apps/store.ts';
import type { Db } from '../database.ts';
import type { Usage } from '../hooks.ts';
import { checkAppQuotas, lockQuotas } from '../quotas/enforce.ts';

/**
 * Holds everybody else's scaling in this organization until the transaction ends, so that what is checked stays true
 * (SECURITY 30). Take it before the rows of apps and processes.
 */
export async function lockQuota(trx: Db, app: Pick<App, 'organization_guid'>): Promise<void> {
  await lockQuotas(trx, app.organization_guid);
}

/** Throws UnprocessableEntity where what is started now, this change included, is more than a quota allows. */
export async function checkQuota(trx: Db, app: App): Promise<void> {
  const { memory } = await trx
    .selectFrom('processes')
    .select((eb) => eb.fn.max('memory_mb').as('memory'))
    .where('app_guid', '=', app.guid)
    .executeTakeFirstOrThrow();
  const { tasks } = await trx
    .selectFrom('tasks')
    .select(sql<number>`count(*)`.as('tasks'))
    .where('app_guid', '=', app.guid)
    .where('state', 'in', ['PENDING', 'RUNNING', 'CANCELING'])
    .executeTakeFirstOrThrow();
  await checkAppQuotas(trx, { usage }, app.space_guid, { perProcessMemoryMb: memory ?? 0, tasksOfApp: tasks });
}

/** What started processes and running tasks use, in a space or in the whole organization. */
export async function usage(db: Db, organizationGuid: string, spaceGuid?: string): Promise<Usage> {
  const inPlace =
    spaceGuid === undefined
      ? sql`spaces.organization_guid = ${organizationGuid}`
      : sql`spaces.guid = ${spaceGuid} AND spaces.organization_guid = ${organizationGuid}`;
  const running = sql`tasks.state IN ('PENDING', 'RUNNING', 'CANCELING')`;
  const { rows } = await sql<{
    instances: number;
    memory: number;
    rate: number;
    unlimited: boolean;
    tasks: number;
    task_memory: number;
    task_rate: number;
    task_unlimited: boolean;
  }>`
    WITH placed AS (SELECT apps.guid FROM apps JOIN spaces ON spaces.guid = apps.space_guid WHERE ${inPlace}),
    p AS (SELECT coalesce(sum(instances), 0) AS instances, coalesce(sum(instances::bigint * memory_mb), 0) AS memory,
            coalesce(sum(instances::bigint * greatest(log_rate_limit, 0)), 0) AS rate,
            coalesce(bool_or(log_rate_limit = -1 AND instances > 0), false) AS unlimited
          FROM processes WHERE state = 'STARTED' AND app_guid IN (SELECT guid FROM placed)),
    t AS (SELECT count(*) AS tasks, coalesce(sum(memory_mb::bigint), 0) AS task_memory,
            coalesce(sum(greatest(log_rate_limit, 0)::bigint), 0) AS task_rate,
            coalesce(bool_or(log_rate_limit = -1), false) AS task_unlimited
          FROM tasks WHERE ${running} AND app_guid IN (SELECT guid FROM placed))
    SELECT p.instances::bigint, p.memory::bigint, p.rate::bigint, p.unlimited, t.tasks, t.task_memory::bigint,
      t.task_rate::bigint, t.task_unlimited FROM p, t`.execute(db);
  const row = rows[0]!;
  return {
    startedInstances: row.instances,
    memoryMb: row.memory + row.task_memory,
    perAppTasks: row.tasks,
    logRateBytesPerSecond: row.unlimited || row.task_unlimited ? -1 : row.rate + row.task_rate,
  };
}
