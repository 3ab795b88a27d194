import { recordEvent } from '../audit-events/store.ts';
import type { Context } from '../context.ts';
import type { Job } from '../jobs/store.ts';
import { securityGroupEvent } from './events.ts';
import { deleteSecurityGroup } from './store.ts';

/** Job "security_group.delete". Fine where it is gone already. */
export async function deleteSecurityGroupJob({ db, changed }: Context, job: Job): Promise<undefined> {
  const deleted = await db.transaction().execute(async (trx) => {
    const group = await deleteSecurityGroup(trx, job.resourceGuid ?? '');
    if (group)
      await recordEvent(trx, securityGroupEvent('audit.security_group.delete', job.actor, group, { request: {} }));
    return group;
  });
  if (deleted) changed('all');
}
