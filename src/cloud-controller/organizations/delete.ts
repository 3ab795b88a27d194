import { recordEvent } from '../audit-events/store.ts';
import type { Context } from '../context.ts';
import type { Job } from '../jobs/store.ts';
import { findOrganization } from './store.ts';

/** Job "organization.delete": the organization with everything in it. Fine where it is gone already. */
export async function deleteOrganization(context: Context, job: Job): Promise<undefined> {
  const organization = await findOrganization(context.db, job.resourceGuid ?? '');
  if (!organization) return;
  await context.db.transaction().execute(async (trx) => {
    await trx.deleteFrom('organizations').where('guid', '=', organization.guid).execute();
    await recordEvent(trx, {
      type: 'audit.organization.delete-request',
      actor: job.actor,
      target: { guid: organization.guid, type: 'organization', name: organization.name },
      organizationGuid: organization.guid,
      data: { request: { recursive: true } },
    });
  });
}
