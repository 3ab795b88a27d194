import { sql } from 'kysely';
import type { Db } from '../database.ts';
import type { Guid } from '../guid.ts';

/** What counts against quotas. */
export interface Committed {
  instances: number;
  memoryMb: number;
  /** Bytes a second, of what has a limit. */
  logRate: number;
  /** How many instances and tasks have no limit for their log. */
  unlimitedLogs: number;
  tasks: number;
}

/** Of all instances of a process. What they run with counts where it is more than what they are to have (`sizeCounted`). */
const MEMORY = sql.raw('instances::bigint * greatest(memory_mb, version_memory_mb)');
const IS_UNLIMITED = sql.raw('-1 IN (log_rate_limit, coalesce(version_log_rate_limit, 0))');
const LOG_RATE = sql`CASE WHEN ${IS_UNLIMITED} THEN 0
  ELSE instances::bigint * greatest(log_rate_limit, version_log_rate_limit) END`;

/**
 * What a space or the whole organization holds, or will hold without being asked again: started processes with all the
 * instances they are to have, the largest size that deployments under way come to, tasks that are not over, and stagings.
 * Versions that only serve until they are replaced are not in it: they give way (`outgoing-bound.ts`).
 */
export async function committed(
  db: Db,
  organizationGuid: Guid<'organization'>,
  spaceGuid?: Guid<'space'>,
): Promise<Committed> {
  // Processes of a deployment are counted as their deployment, where that is more.
  const { rows } = await sql<Committed>`
    WITH placed AS (SELECT apps.guid FROM apps JOIN spaces ON spaces.guid = apps.space_guid
        WHERE ${inPlace(organizationGuid, spaceGuid)}),
    used AS (
      SELECT instances::bigint AS instances, ${MEMORY} AS memory, ${LOG_RATE} AS rate,
        CASE WHEN ${IS_UNLIMITED} THEN instances ELSE 0 END AS unlimited, 0 AS tasks
      FROM processes WHERE state = 'STARTED' AND app_guid IN (SELECT guid FROM placed)
      UNION ALL
      SELECT greatest(d.reserved_instances - now.instances, 0), greatest(d.reserved_memory_mb - now.memory, 0),
        greatest(d.reserved_log_rate - now.rate, 0), 0, 0
      FROM deployments d CROSS JOIN LATERAL (
        SELECT coalesce(sum(instances), 0) AS instances, coalesce(sum(${MEMORY}), 0) AS memory,
          coalesce(sum(${LOG_RATE}), 0) AS rate
        FROM processes WHERE guid IN (d.old_process_guid, d.new_process_guid) AND state = 'STARTED') AS now
      WHERE d.status_value = 'ACTIVE' AND d.leaving_lrp_guid IS NULL AND d.app_guid IN (SELECT guid FROM placed)
      UNION ALL
      SELECT 0, memory_mb, greatest(log_rate_limit, 0), (log_rate_limit = -1)::integer, 1
      FROM tasks WHERE state IN ('PENDING', 'RUNNING', 'CANCELING') AND app_guid IN (SELECT guid FROM placed)
      UNION ALL
      SELECT 0, staging_memory_mb, 0, 0, 0
      FROM builds WHERE state = 'STAGING' AND app_guid IN (SELECT guid FROM placed))
    SELECT coalesce(sum(instances), 0)::bigint AS instances, coalesce(sum(memory), 0)::bigint AS "memoryMb",
      coalesce(sum(rate), 0)::bigint AS "logRate", coalesce(sum(unlimited), 0)::bigint AS "unlimitedLogs",
      coalesce(sum(tasks), 0)::bigint AS tasks
    FROM used`.execute(db);
  return rows[0]!;
}

/** A version that serves until its successor does. */
export interface ServingOutgoing {
  lrp_guid: string;
  instances: number;
  memory_mb: number;
  /** -1: none. */
  log_rate_limit: number;
}

/** Those of a space or of the whole organization, the newest first. */
export async function servingOutgoing(
  db: Db,
  organizationGuid: Guid<'organization'>,
  spaceGuid?: Guid<'space'>,
): Promise<ServingOutgoing[]> {
  // Those that a version before wrote down without their size have that of their successor.
  const { rows } = await sql<ServingOutgoing>`
    SELECT o.lrp_guid, o.instances, coalesce(o.memory_mb, p.memory_mb) AS memory_mb,
      coalesce(o.log_rate_limit, p.log_rate_limit) AS log_rate_limit
    FROM outgoing_lrps o JOIN processes p ON p.guid = o.process_guid
      JOIN apps ON apps.guid = o.app_guid JOIN spaces ON spaces.guid = apps.space_guid
    WHERE ${inPlace(organizationGuid, spaceGuid)} ORDER BY o.id DESC`.execute(db);
  return rows;
}

/** What apps and tasks use. */
export interface Usage {
  startedInstances: number;
  memoryMb: number;
  perAppTasks: number;
  /** -1 where a process has no limit. */
  logRateBytesPerSecond: number;
}

/** What `usage_summary` shows: all that is committed, and what serves until it is replaced. */
export async function usage(db: Db, organizationGuid: Guid<'organization'>, spaceGuid?: Guid<'space'>): Promise<Usage> {
  const { instances, memoryMb, logRate, unlimitedLogs, tasks } = await committed(db, organizationGuid, spaceGuid);
  const outgoing = await servingOutgoing(db, organizationGuid, spaceGuid);
  const sum = (of: (lrp: ServingOutgoing) => number): number =>
    outgoing.reduce((total, lrp) => total + lrp.instances * of(lrp), 0);
  const isUnlimited = unlimitedLogs > 0 || outgoing.some(({ log_rate_limit: rate }) => rate === -1);
  return {
    startedInstances: instances + sum(() => 1),
    memoryMb: memoryMb + sum(({ memory_mb: memory }) => memory),
    perAppTasks: tasks,
    logRateBytesPerSecond: isUnlimited ? -1 : logRate + sum(({ log_rate_limit: rate }) => rate),
  };
}

function inPlace(organizationGuid: Guid<'organization'>, spaceGuid: Guid<'space'> | undefined) {
  return spaceGuid === undefined
    ? sql`spaces.organization_guid = ${organizationGuid}`
    : sql`spaces.guid = ${spaceGuid} AND spaces.organization_guid = ${organizationGuid}`;
}
