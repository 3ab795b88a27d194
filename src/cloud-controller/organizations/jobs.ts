import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { type Guid, guid } from '../guid.ts';
import type { Job } from '../jobs/store.ts';
import { organizationEvent } from './events.ts';
import { findOrganization } from './store.ts';

/** Job "organization.delete": the organization with everything in it. Fine where it, or a part of it, is gone already. */
export async function deleteOrganization(context: Context, job: Job): Promise<undefined> {
  const { db } = context;
  const organization = await findOrganization(db, guid<'organization'>(job.resourceGuid ?? ''));
  if (!organization) return;
  do {
    for (const remove of context.contents.organization) await remove(context, organization.guid, job.actor);
  } while (!(await deleteEmpty(context, organization.guid, job.actor)));
}

/** The organization itself; false where a domain has come to it meanwhile. */
async function deleteEmpty({ db }: Context, guid: Guid<'organization'>, actor: Actor): Promise<boolean> {
  return db.transaction().execute(async (trx) => {
    // From here on no domain comes to it.
    await trx.selectFrom('organizations').select('guid').where('guid', '=', guid).forUpdate().execute();
    const domain = await trx
      .selectFrom('domains')
      .select('guid')
      .where('organization_guid', '=', guid)
      .executeTakeFirst();
    if (domain) return false;
    // Its space quotas go with it by their foreign keys.
    const deleted = await trx.deleteFrom('organizations').where('guid', '=', guid).returning('name').executeTakeFirst();
    if (!deleted) return true;
    const organization = { guid, name: deleted.name };
    const data = { request: { recursive: true } } as const;
    await recordEvent(trx, organizationEvent('audit.organization.delete-request', actor, organization, data));
    return true;
  });
}
