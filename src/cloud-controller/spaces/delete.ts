import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { CfError, isForeignKeyViolation } from '../errors.ts';
import type { Job } from '../jobs/store.ts';
import { deleteRoutesOfSpace } from '../routes/delete.ts';
import { spaceEvent } from './operations.ts';
import { findSpace } from './store.ts';

/** Job "space.delete". */
export async function deleteSpaceJob(context: Context, job: Job): Promise<undefined> {
  await deleteSpace(context, job.resourceGuid ?? '', job.actor);
}

/** A space with its apps and routes. Fine where it, or a part of it, is gone already. */
export async function deleteSpace(context: Context, guid: string, actor: Actor): Promise<void> {
  const space = await findSpace(context.db, guid);
  if (!space) return;
  await context.hooks.deleteAppsOfSpace(guid, actor);
  await deleteRoutesOfSpace(context, guid, actor);
  try {
    await context.db.transaction().execute(async (trx) => {
      await recordEvent(trx, spaceEvent({ actor }, 'delete-request', space, { recursive: true }));
      await trx.deleteFrom('spaces').where('guid', '=', guid).execute();
    });
  } catch (cause) {
    if (!isForeignKeyViolation(cause)) throw cause;
    const detail = `Deletion of space ${space.name} failed because something was added to it meanwhile. Delete it again.`;
    throw new CfError('SpaceDeletionFailed', detail, { cause });
  }
}
