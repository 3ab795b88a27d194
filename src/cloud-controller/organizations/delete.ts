import { recordEvent } from '../audit-events/store.ts';
import type { Context } from '../context.ts';
import type { Job } from '../jobs/store.ts';
import { deleteSpace } from '../spaces/delete.ts';
import { findOrganization } from './store.ts';

/** Job "organization.delete": the organization with everything in it. Fine where it, or a part of it, is gone already. */
export async function deleteOrganization(context: Context, job: Job): Promise<undefined> {
  const { db } = context;
  const organization = await findOrganization(db, job.resourceGuid ?? '');
  if (!organization) return;
  const spaces = await db
    .selectFrom('spaces')
    .select('guid')
    .where('organization_guid', '=', organization.guid)
    .execute();
  for (const space of spaces) await deleteSpace(context, space.guid, job.actor);
  await db.transaction().execute(async (trx) => {
    await recordEvent(trx, {
      type: 'audit.organization.delete-request',
      actor: job.actor,
      target: { guid: organization.guid, type: 'organization', name: organization.name },
      organizationGuid: organization.guid,
      data: { request: { recursive: true } },
    });
    // Its private domains and space quotas go with it by their foreign keys.
    await trx.deleteFrom('organizations').where('guid', '=', organization.guid).execute();
  });
}
