import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { type Db, lockRow } from '../database.ts';
import { notFound, unprocessable } from '../errors.ts';
import type { Job } from '../jobs/store.ts';
import { named } from '../users/names.ts';
import { roleEvent } from './events.ts';
import { deleteRole, findRole, isInSpaceOf, type Role, rolesOf } from './store.ts';

/** Job "role.delete". */
export async function deleteRoleJob(context: Context, job: Job): Promise<undefined> {
  const role = await findRole(context.db, job.resourceGuid ?? '');
  if (!role) return;
  const user = await named(context, role.user_guid);
  await context.db.transaction().execute(async (trx) => {
    await lockRow(trx, 'users', role.user_guid, notFound('User'));
    await checkRemovable(trx, role);
    if (await deleteRole(trx, role.guid)) await recordEvent(trx, roleEvent(job.actor, 'remove', role, user, {}));
  });
}

/** Every role of a user, wherever it is. */
export async function deleteRolesOfUser(context: Context, guid: string, actor: Actor): Promise<void> {
  const user = await named(context, guid);
  await context.db.transaction().execute(async (trx) => {
    for (const role of await rolesOf(trx, guid)) {
      if (await deleteRole(trx, role.guid)) await recordEvent(trx, roleEvent(actor, 'remove', role, user, {}));
    }
  });
}

/**
 * The role `organization_user` goes last: not while its user has a role in a space of the organization. As in Cloud Foundry, every
 * other role of the organization may go before. Throws UnprocessableEntity.
 */
export async function checkRemovable(db: Db, role: Role): Promise<void> {
  if (role.type !== 'organization_user') return;
  if (!(await isInSpaceOf(db, role.user_guid, role.owner_guid))) return;
  throw unprocessable('Cannot delete organization_user role while user has roles in spaces in that organization.');
}
