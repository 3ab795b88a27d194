import { recordEvent } from '../audit-events/store.ts';
import type { Context } from '../context.ts';
import type { Job } from '../jobs/store.ts';
import { userEvent } from './events.ts';
import { named } from './names.ts';
import { deleteUserWithoutRoles, forgetUser } from './store.ts';

/** Job "user.delete": the user with all their roles. Fine where they, or some of these, are gone already. */
export async function deleteUser(context: Context, job: Job): Promise<undefined> {
  const { db } = context;
  const { actor } = job;
  const user = await named(context, job.resourceGuid ?? '');
  let found: Awaited<ReturnType<typeof deleteUserWithoutRoles>>;
  do {
    for (const remove of context.contents.user) await remove(context, user.guid, actor);
    found = await db.transaction().execute(async (trx) => {
      const outcome = await deleteUserWithoutRoles(trx, user.guid);
      if (outcome === 'deleted') await recordEvent(trx, userEvent('audit.user.delete', actor, user, { request: {} }));
      return outcome;
    });
  } while (found === 'has roles');
  // Not before: a call of theirs in between would have them known although their row goes.
  forgetUser(db, user.guid);
}
