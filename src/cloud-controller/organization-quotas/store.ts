import { type Selectable, sql } from 'kysely';
import { type Db, lockRow, now, type RowColumns, type Trx } from '../database.ts';
import { notFound, unprocessable } from '../errors.ts';
import { type Guid, newGuid } from '../guid.ts';
import { findOrganizations } from '../organizations/store.ts';
import { type LimitColumns, limitColumns, naming, newLimits } from '../quotas/store.ts';
import type { OrganizationQuotaInput } from './schema.ts';

declare module '../database.ts' {
  interface Database {
    organization_quotas: OrganizationQuotaTable;
  }
}

export interface OrganizationQuotaTable extends RowColumns<Guid<'organization_quota'>>, LimitColumns {
  name: string;
  total_domains: number | null;
}

/** A quota with what it is applied to. */
export interface OrganizationQuota extends Selectable<OrganizationQuotaTable> {
  organization_guids: Guid<'organization'>[];
}

export function selectOrganizationQuotas(db: Db) {
  return db
    .selectFrom('organization_quotas')
    .selectAll('organization_quotas')
    .select(
      sql<Guid<'organization'>[]>`ARRAY(SELECT guid FROM organizations AS applied
        WHERE applied.quota_guid = organization_quotas.guid ORDER BY applied.id)`.as('organization_guids'),
    );
}

export async function findOrganizationQuota(
  db: Db,
  guid: Guid<'organization_quota'>,
): Promise<OrganizationQuota | null> {
  return (await selectOrganizationQuotas(db).where('organization_quotas.guid', '=', guid).executeTakeFirst()) ?? null;
}

/** Throws UnprocessableEntity where a quota has that name, or where an organization it is to be applied to is not there. */
export async function insertOrganizationQuota(
  trx: Trx,
  name: string,
  input: OrganizationQuotaInput,
  organizationGuids: readonly Guid<'organization'>[],
): Promise<OrganizationQuota> {
  const guid = newGuid<'organization_quota'>();
  await naming('Organization', name, () =>
    trx
      .insertInto('organization_quotas')
      .values({ guid, name, total_domains: input.domains?.total_domains, ...newLimits(input) })
      .execute(),
  );
  await applyOrganizationQuota(trx, guid, organizationGuids);
  return written(trx, guid);
}

/** Changes what a request names. Throws ResourceNotFound where it is gone, UnprocessableEntity where another has that name. */
export async function updateOrganizationQuota(
  trx: Trx,
  guid: Guid<'organization_quota'>,
  input: OrganizationQuotaInput,
): Promise<OrganizationQuota> {
  const before = await lockRow(trx, 'organization_quotas', guid, notFound('Organization quota'));
  const { name, domains } = input;
  await naming('Organization', name ?? before.name, () =>
    trx
      .updateTable('organization_quotas')
      .set({ name, total_domains: domains?.total_domains, ...limitColumns(input), updated_at: now })
      .where('guid', '=', guid)
      .execute(),
  );
  return written(trx, guid);
}

/** Gives how many organizations have it now that were named. Throws UnprocessableEntity where one of them is not there. */
export async function applyOrganizationQuota(
  trx: Trx,
  quotaGuid: Guid<'organization_quota'>,
  organizationGuids: readonly Guid<'organization'>[],
): Promise<number> {
  const found = new Set((await findOrganizations(trx, organizationGuids)).map((row) => row.guid));
  const missing = organizationGuids.filter((guid) => !found.has(guid));
  if (missing.length > 0) {
    throw unprocessable(
      `Organizations with guids ["${missing.join('", "')}"] do not exist, or you do not have access to them.`,
    );
  }
  if (organizationGuids.length === 0) return 0;
  const applied = await trx
    .updateTable('organizations')
    .set({ quota_guid: quotaGuid, updated_at: now })
    .where('guid', 'in', organizationGuids)
    .returning('guid')
    .execute();
  return applied.length;
}

/** Takes the lock of its row, for which whoever applies it waits. Null where it is gone. */
export async function lockOrganizationQuota(
  trx: Trx,
  guid: Guid<'organization_quota'>,
): Promise<OrganizationQuota | null> {
  await trx.selectFrom('organization_quotas').select('guid').where('guid', '=', guid).forUpdate().execute();
  return findOrganizationQuota(trx, guid);
}

export async function deleteOrganizationQuota(trx: Trx, guid: Guid<'organization_quota'>): Promise<void> {
  await trx.deleteFrom('organization_quotas').where('guid', '=', guid).execute();
}

async function written(trx: Trx, guid: Guid<'organization_quota'>): Promise<OrganizationQuota> {
  const quota = await findOrganizationQuota(trx, guid);
  if (!quota) throw notFound('Organization quota');
  return quota;
}
