import { type Selectable, sql } from 'kysely';
import { type Db, now, type RowColumns } from '../database.ts';
import { isUniqueViolation, unprocessable } from '../errors.ts';
import type { QuotaInput } from './schema.ts';

/** Limits; null means none. */
export interface LimitColumns {
  total_memory_mb: number | null;
  per_process_memory_mb: number | null;
  total_instances: number | null;
  per_app_tasks: number | null;
  log_rate_bytes_per_second: number | null;
  paid_services_allowed: boolean;
  total_service_instances: number | null;
  total_service_keys: number | null;
  total_routes: number | null;
  total_reserved_ports: number | null;
}
export interface OrganizationQuotaTable extends RowColumns, LimitColumns {
  name: string;
  total_domains: number | null;
}
export interface SpaceQuotaTable extends RowColumns, LimitColumns {
  name: string;
  organization_guid: string;
}

/** A quota with what it is applied to. */
export interface OrganizationQuota extends Selectable<OrganizationQuotaTable> {
  organization_guids: string[];
}
export interface SpaceQuota extends Selectable<SpaceQuotaTable> {
  space_guids: string[];
  organization_suspended: boolean;
}

export function selectOrganizationQuotas(db: Db) {
  return db
    .selectFrom('organization_quotas')
    .selectAll('organization_quotas')
    .select(
      sql<string[]>`ARRAY(SELECT guid FROM organizations AS applied
        WHERE applied.quota_guid = organization_quotas.guid ORDER BY applied.id)`.as('organization_guids'),
    );
}

export function selectSpaceQuotas(db: Db) {
  return db
    .selectFrom('space_quotas')
    .innerJoin('organizations', 'organizations.guid', 'space_quotas.organization_guid')
    .selectAll('space_quotas')
    .select('organizations.suspended as organization_suspended')
    .select(
      sql<string[]>`ARRAY(SELECT guid FROM spaces AS applied
        WHERE applied.space_quota_guid = space_quotas.guid ORDER BY applied.id)`.as('space_guids'),
    );
}

export async function findOrganizationQuota(db: Db, guid: string): Promise<OrganizationQuota | null> {
  return (await selectOrganizationQuotas(db).where('organization_quotas.guid', '=', guid).executeTakeFirst()) ?? null;
}

export async function findSpaceQuota(db: Db, guid: string): Promise<SpaceQuota | null> {
  return (await selectSpaceQuotas(db).where('space_quotas.guid', '=', guid).executeTakeFirst()) ?? null;
}

const UNLIMITED: LimitColumns = {
  total_memory_mb: null,
  per_process_memory_mb: null,
  total_instances: null,
  per_app_tasks: null,
  log_rate_bytes_per_second: null,
  paid_services_allowed: true,
  total_service_instances: null,
  total_service_keys: null,
  total_routes: null,
  total_reserved_ports: null,
};

/** The limits after a request; what it does not name stays. */
export function mergeLimits(before: LimitColumns, input: QuotaInput): LimitColumns {
  const { apps = {}, services = {}, routes = {} } = input;
  const changes: Record<keyof LimitColumns, number | boolean | null | undefined> = {
    total_memory_mb: apps.total_memory_in_mb,
    per_process_memory_mb: apps.per_process_memory_in_mb,
    total_instances: apps.total_instances,
    per_app_tasks: apps.per_app_tasks,
    log_rate_bytes_per_second: apps.log_rate_limit_in_bytes_per_second,
    paid_services_allowed: services.paid_services_allowed,
    total_service_instances: services.total_service_instances,
    total_service_keys: services.total_service_keys,
    total_routes: routes.total_routes,
    total_reserved_ports: routes.total_reserved_ports,
  };
  const pick = (name: Exclude<keyof LimitColumns, 'paid_services_allowed'>): number | null => {
    const value = changes[name];
    return value === undefined || typeof value === 'boolean' ? before[name] : value;
  };
  return {
    total_memory_mb: pick('total_memory_mb'),
    per_process_memory_mb: pick('per_process_memory_mb'),
    total_instances: pick('total_instances'),
    per_app_tasks: pick('per_app_tasks'),
    log_rate_bytes_per_second: pick('log_rate_bytes_per_second'),
    paid_services_allowed: services.paid_services_allowed ?? before.paid_services_allowed,
    total_service_instances: pick('total_service_instances'),
    total_service_keys: pick('total_service_keys'),
    total_routes: pick('total_routes'),
    total_reserved_ports: pick('total_reserved_ports'),
  };
}

export async function insertOrganizationQuota(db: Db, name: string, input: QuotaInput): Promise<string> {
  const guid = crypto.randomUUID();
  return naming('Organization', name, async () => {
    const total_domains = input.domains?.total_domains ?? null;
    await db
      .insertInto('organization_quotas')
      .values({ guid, name, total_domains, ...mergeLimits(UNLIMITED, input) })
      .execute();
    return guid;
  });
}

export async function updateOrganizationQuota(db: Db, quota: OrganizationQuota, input: QuotaInput): Promise<void> {
  const name = input.name ?? quota.name;
  const domains = input.domains?.total_domains;
  await naming('Organization', name, () =>
    db
      .updateTable('organization_quotas')
      .set({
        name,
        total_domains: domains === undefined ? quota.total_domains : domains,
        ...mergeLimits(quota, input),
        updated_at: now,
      })
      .where('guid', '=', quota.guid)
      .execute(),
  );
}

export async function insertSpaceQuota(
  db: Db,
  name: string,
  organizationGuid: string,
  input: QuotaInput,
): Promise<string> {
  const guid = crypto.randomUUID();
  return naming('Space', name, async () => {
    await db
      .insertInto('space_quotas')
      .values({ guid, name, organization_guid: organizationGuid, ...mergeLimits(UNLIMITED, input) })
      .execute();
    return guid;
  });
}

export async function updateSpaceQuota(db: Db, quota: SpaceQuota, input: QuotaInput): Promise<void> {
  const name = input.name ?? quota.name;
  await naming('Space', name, () =>
    db
      .updateTable('space_quotas')
      .set({ name, ...mergeLimits(quota, input), updated_at: now })
      .where('guid', '=', quota.guid)
      .execute(),
  );
}

/** The CLI recognises a taken name by this sentence. */
async function naming<Result>(
  kind: 'Organization' | 'Space',
  name: string,
  body: () => Promise<Result>,
): Promise<Result> {
  try {
    return await body();
  } catch (error) {
    const constraint = kind === 'Organization' ? 'organization_quotas_name_key' : 'space_quotas_name_key';
    throw isUniqueViolation(error, constraint) ? unprocessable(`${kind} Quota '${name}' already exists.`) : error;
  }
}
