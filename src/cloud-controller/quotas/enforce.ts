import { sql } from 'kysely';
import type { Db, Trx } from '../database.ts';
import { CfError, unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import type { Committed } from './usage.ts';

/** The limits that hold in a space: its organization's, and its own where it has a quota. Null: no limit. */
export interface Limits {
  kind: 'organization' | 'space';
  name: string;
  total_memory_mb: number | null;
  per_process_memory_mb: number | null;
  total_instances: number | null;
  per_app_tasks: number | null;
  log_rate_bytes_per_second: number | null;
  total_routes: number | null;
}

/** What one app has of what a quota limits for each. */
export interface OfOneApp {
  /** Of one instance of its largest process, started or not. */
  processMemoryMb: number;
  /** Of one instance of its largest started process or of its largest task. */
  runningMemoryMb: number;
  tasks: number;
}

/** A change would exceed a quota. The detail is for the caller: which quota, and whose. */
export class QuotaExceeded extends CfError {
  constructor(detail: string) {
    super('UnprocessableEntity', detail);
  }
}

/**
 * Throws QuotaExceeded where a change has made something larger than it was and than the limit is. What exceeded a limit
 * before (it was lowered) may stay, and may become less.
 */
export function checkAppQuotas(
  limits: Limits,
  before: Committed,
  after: Committed,
  appBefore: OfOneApp,
  appAfter: OfOneApp,
): void {
  const owner = `${limits.kind} '${limits.name}'`;
  const check = (was: number, is: number, limit: number | null, refusal: string): void => {
    if (is > was && exceeds(is, limit)) throw new QuotaExceeded(refusal);
  };
  const perProcess = `Memory of a process exceeds what the quota of ${owner} allows for one instance.`;
  check(appBefore.processMemoryMb, appAfter.processMemoryMb, limits.per_process_memory_mb, perProcess);
  check(appBefore.runningMemoryMb, appAfter.runningMemoryMb, limits.per_process_memory_mb, perProcess);
  check(appBefore.tasks, appAfter.tasks, limits.per_app_tasks, `Tasks quota exceeded for ${owner}.`);
  check(before.memoryMb, after.memoryMb, limits.total_memory_mb, `Memory quota exceeded for ${owner}.`);
  check(before.instances, after.instances, limits.total_instances, `App instance quota exceeded for ${owner}.`);
  const rate = limits.log_rate_bytes_per_second;
  const grows = after.unlimitedLogs > before.unlimitedLogs || after.logRate > before.logRate;
  if (rate !== null && after.unlimitedLogs > 0 && grows) {
    throw new QuotaExceeded(`Log rate limit cannot be unlimited in ${owner}.`);
  }
  check(before.logRate, after.logRate, rate, `Log rate quota exceeded for ${owner}.`);
}

/** Checks the number of routes, in the transaction that added one (after `lockQuotas`). Throws in Cloud Foundry's words. */
export async function checkRouteQuotas(trx: Trx, spaceGuid: Guid<'space'>): Promise<void> {
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

/** Checks the number of private domains, in the transaction that added one. Throws UnprocessableEntity. */
export async function checkDomainQuota(trx: Trx, organizationGuid: Guid<'organization'>): Promise<void> {
  const { rows } = await sql<{ name: string; total_domains: number | null; owned: number }>`
    SELECT organizations.name, quota.total_domains,
      (SELECT count(*) FROM domains WHERE organization_guid = organizations.guid) AS owned
    FROM organizations JOIN organization_quotas AS quota ON quota.guid = organizations.quota_guid
    WHERE organizations.guid = ${organizationGuid}`.execute(trx);
  const [found] = rows;
  if (!found || !exceeds(found.owned, found.total_domains)) return;
  throw unprocessable(`The number of private domains exceeds the quota for organization "${found.name}"`);
}

/** Two changes that use more of an organization's quota wait for each other (SECURITY 30). Held until the transaction ends. */
export async function lockQuotas(trx: Trx, organizationGuid: Guid<'organization'>): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtext('quota'), hashtext(${organizationGuid}))`.execute(trx);
}

/** The limits of a space's quota, where it has one, and of its organization's. */
export async function limitsOf(db: Db, spaceGuid: Guid<'space'>): Promise<Limits[]> {
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
