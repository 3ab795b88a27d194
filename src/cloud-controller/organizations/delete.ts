import { recordEvent } from '../audit-events/store.ts';
import type { Context } from '../context.ts';
import type { Job } from '../jobs/store.ts';
import { deleteRoutes } from '../routes/delete.ts';
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
  // Other organizations may have routes on its domains that were shared to them.
  const domains = await db
    .selectFrom('domains')
    .select('guid')
    .where('organization_guid', '=', organization.guid)
    .execute();
  for (const domain of domains) await deleteRoutes(context, { domainGuid: domain.guid }, job.actor);
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
