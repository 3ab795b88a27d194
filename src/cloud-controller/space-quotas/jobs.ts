import { recordEvent } from '../audit-events/store.ts';
import type { Context } from '../context.ts';
import { unprocessable } from '../errors.ts';
import { guid } from '../guid.ts';
import type { Job } from '../jobs/store.ts';
import { spaceQuotaEvent } from './events.ts';
import { deleteSpaceQuota, lockSpaceQuota, type SpaceQuota } from './store.ts';

/** Job "space_quota.delete". */
export async function deleteSpaceQuotaJob(context: Context, job: Job): Promise<undefined> {
  await context.db.transaction().execute(async (trx) => {
    const quota = await lockSpaceQuota(trx, guid<'space_quota'>(job.resourceGuid ?? ''));
    if (!quota) return;
    checkUnused(quota);
    await deleteSpaceQuota(trx, quota.guid);
    await recordEvent(trx, spaceQuotaEvent('audit.space_quota.delete', job.actor, quota, { request: {} }));
  });
}

/** Throws UnprocessableEntity where a space has it. */
export function checkUnused(quota: SpaceQuota): void {
  if (quota.space_guids.length === 0) return;
  throw unprocessable(
    'This quota is applied to one or more spaces. Remove this quota from all spaces before deleting.',
  );
}
