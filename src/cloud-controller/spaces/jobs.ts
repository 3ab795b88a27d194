import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { CfError, isForeignKeyViolation } from '../errors.ts';
import { type Guid, guid } from '../guid.ts';
import type { Job } from '../jobs/store.ts';
import { spaceEvent } from './events.ts';
import { findSpace } from './store.ts';

/** Job "space.delete". */
export async function deleteSpaceJob(context: Context, job: Job): Promise<undefined> {
  await deleteSpace(context, guid<'space'>(job.resourceGuid ?? ''), job.actor);
}

/** A space with all that lies in it. Fine where it, or a part of it, is gone already. */
async function deleteSpace(context: Context, guid: Guid<'space'>, actor: Actor): Promise<void> {
  const space = await findSpace(context.db, guid);
  if (!space) return;
  for (const remove of context.contents.space) await remove(context, guid, actor);
  try {
    await context.db.transaction().execute(async (trx) => {
      const deleted = await trx.deleteFrom('spaces').where('guid', '=', guid).returning('guid').executeTakeFirst();
      if (deleted)
        await recordEvent(
          trx,
          spaceEvent('audit.space.delete-request', actor, space, { request: { recursive: true } }),
        );
    });
  } catch (cause) {
    if (!isForeignKeyViolation(cause)) throw cause;
    const detail = `Deletion of space ${space.name} failed because something was added to it meanwhile. Delete it again.`;
    throw new CfError('SpaceDeletionFailed', detail, { cause });
  }
}

/** Every space of an organization. */
export async function deleteSpacesOfOrganization(
  context: Context,
  guid: Guid<'organization'>,
  actor: Actor,
): Promise<void> {
  const spaces = await context.db.selectFrom('spaces').select('guid').where('organization_guid', '=', guid).execute();
  for (const space of spaces) await deleteSpace(context, space.guid, actor);
}
