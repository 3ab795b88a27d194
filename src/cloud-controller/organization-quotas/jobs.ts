import { recordEvent } from '../audit-events/store.ts';
import type { Context } from '../context.ts';
import { unprocessable } from '../errors.ts';
import { guid } from '../guid.ts';
import type { Job } from '../jobs/store.ts';
import { organizationQuotaEvent } from './events.ts';
import { deleteOrganizationQuota, lockOrganizationQuota, type OrganizationQuota } from './store.ts';

/** Job "organization_quota.delete". */
export async function deleteOrganizationQuotaJob(context: Context, job: Job): Promise<undefined> {
  await context.db.transaction().execute(async (trx) => {
    const quota = await lockOrganizationQuota(trx, guid<'organization_quota'>(job.resourceGuid ?? ''));
    if (!quota) return;
    checkUnused(quota);
    await deleteOrganizationQuota(trx, quota.guid);
    await recordEvent(
      trx,
      organizationQuotaEvent('audit.organization_quota.delete', job.actor, quota, { request: {} }),
    );
  });
}

/** Throws UnprocessableEntity where an organization has it. */
export function checkUnused(quota: OrganizationQuota): void {
  if (quota.organization_guids.length === 0) return;
  throw unprocessable(
    'This quota is applied to one or more organizations. Apply different quotas to those organizations before deleting.',
  );
}
