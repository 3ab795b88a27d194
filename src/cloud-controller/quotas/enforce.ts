import { sql } from 'kysely';
import type { Db } from '../database.ts';
import { notFound, unprocessable } from '../errors.ts';
import type { Hooks } from '../hooks.ts';

/** The limits that hold in a space: its organization's, and its own where it has a quota. Null: no limit. */
interface Limits {
  kind: 'organization' | 'space';
  name: string;
  total_memory_mb: number | null;
  per_process_memory_mb: number | null;
  total_instances: number | null;
  per_app_tasks: number | null;
  log_rate_bytes_per_second: number | null;
  total_routes: number | null;
}

/**
 * Checks what runs in a space against its quotas. Call it in the transaction of the change: `lockQuotas` before the
 * change, this after it and before the commit, and only for changes that use more. Throws UnprocessableEntity.
 * `perProcessMemoryMb` is the memory of one instance of what was changed; `tasksOfApp` how many tasks its app now has.
 */
export async function checkAppQuotas(
  trx: Db,
  hooks: Pick<Hooks, 'usage'>,
  spaceGuid: string,
  changed: { perProcessMemoryMb?: number; tasksOfApp?: number },
): Promise<void> {
  for (const limits of await limitsOf(trx, spaceGuid)) {
    const owner = `${limits.kind} '${limits.name}'`;
    const { perProcessMemoryMb = 0, tasksOfApp = 0 } = changed;
    if (exceeds(perProcessMemoryMb, limits.per_process_memory_mb)) {
      throw unprocessable(`Memory of a process exceeds what the quota of ${owner} allows for one instance.`);
    }
    if (exceeds(tasksOfApp, limits.per_app_tasks)) throw unprocessable(`Tasks quota exceeded for ${owner}.`);
    const organizationGuid = await organizationOf(trx, spaceGuid);
    const usage = await hooks.usage(trx, organizationGuid, limits.kind === 'space' ? spaceGuid : undefined);
    if (exceeds(usage.memoryMb, limits.total_memory_mb)) throw unprocessable(`Memory quota exceeded for ${owner}.`);
    if (exceeds(usage.startedInstances, limits.total_instances)) {
      throw unprocessable(`App instance quota exceeded for ${owner}.`);
    }
    if (limits.log_rate_bytes_per_second !== null) {
      if (usage.logRateBytesPerSecond < 0) throw unprocessable(`Log rate limit cannot be unlimited in ${owner}.`);
      if (exceeds(usage.logRateBytesPerSecond, limits.log_rate_bytes_per_second)) {
        throw unprocessable(`Log rate quota exceeded for ${owner}.`);
      }
    }
  }
}

/** Checks the number of routes, in the transaction that added one (after `lockQuotas`). Throws in Cloud Foundry's words. */
export async function checkRouteQuotas(trx: Db, spaceGuid: string): Promise<void> {
  for (const limits of await limitsOf(trx, spaceGuid)) {
    if (limits.total_routes === null) continue;
    const inOrganization = sql`spaces.organization_guid = (SELECT organization_guid FROM spaces WHERE guid = ${spaceGuid})`;
    const counted = await sql<{ routes: number }>`
      SELECT count(*) AS routes FROM routes JOIN spaces ON spaces.guid = routes.space_guid
      WHERE ${limits.kind === 'space' ? sql`spaces.guid = ${spaceGuid}` : inOrganization}`.execute(trx);
    if (exceeds(counted.rows[0]?.routes ?? 0, limits.total_routes)) {
      throw unprocessable(`Routes quota exceeded for ${limits.kind} '${limits.name}'.`);
    }
  }
}

/** Two changes that use more of an organization's quota wait for each other (SECURITY 30). Held until the transaction ends. */
export async function lockQuotas(trx: Db, organizationGuid: string): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtext('quota'), hashtext(${organizationGuid}))`.execute(trx);
}

async function organizationOf(db: Db, spaceGuid: string): Promise<string> {
  const row = await db
    .selectFrom('spaces')
    .select('organization_guid')
    .where('guid', '=', spaceGuid)
    .executeTakeFirst();
  if (!row) throw notFound('Space');
  return row.organization_guid;
}

async function limitsOf(db: Db, spaceGuid: string): Promise<Limits[]> {
  const columns = sql.raw(
    [
      'total_memory_mb',
      'per_process_memory_mb',
      'total_instances',
      'per_app_tasks',
      'log_rate_bytes_per_second',
      'total_routes',
    ]
      .map((name) => `quota.${name}`)
      .join(', '),
  );
  const found = await sql<Limits>`
    SELECT 'space' AS kind, spaces.name AS name, ${columns} FROM spaces
      JOIN space_quotas AS quota ON quota.guid = spaces.space_quota_guid WHERE spaces.guid = ${spaceGuid}
    UNION ALL
    SELECT 'organization' AS kind, organizations.name AS name, ${columns} FROM spaces
      JOIN organizations ON organizations.guid = spaces.organization_guid
      JOIN organization_quotas AS quota ON quota.guid = organizations.quota_guid WHERE spaces.guid = ${spaceGuid}`.execute(
    db,
  );
  return found.rows;
}

function exceeds(used: number, limit: number | null): boolean {
  return limit !== null && used > limit;
}
