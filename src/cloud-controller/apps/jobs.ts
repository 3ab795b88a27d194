import type { Actor } from '../authorization.ts';
import type { AfterCommit, Context } from '../context.ts';
import { type Guid, guid } from '../guid.ts';
import { type Job, pendingActor } from '../jobs/store.ts';
import { recordAppEvent } from './events.ts';
import { logLine } from './log-lines.ts';
import { type App, appsOfSpace, lockAppIfThere, removeApp } from './store.ts';

/** Job "app.delete". Fine where the app is gone already. */
export async function deleteAppJob(context: Context, job: Job): Promise<undefined> {
  await deleteApp(context, guid<'app'>(job.resourceGuid ?? ''), job.actor);
}

/** An app whose deletion was asked for is deleted now, so that its name is free. */
export async function finishDeletion(context: Context, guid: Guid<'app'>): Promise<void> {
  const actor = await pendingActor(context.db, 'app.delete', guid);
  if (actor) await deleteApp(context, guid, actor);
}

/**
 * Deletes an app with all that hangs on it: rows in one transaction, then its LRPs and tasks (by the reconciler, which
 * finds them unwanted) and what else is left of it.
 */
async function deleteApp(context: Context, guid: Guid<'app'>, actor: Actor): Promise<void> {
  const finishing: AfterCommit[] = [];
  const app = await context.db.transaction().execute(async (trx): Promise<App | null> => {
    const found = await lockAppIfThere(trx, guid);
    if (!found) return null; // by somebody else
    for (const remove of context.contents.app) {
      const finish = await remove(context, trx, found, actor);
      if (finish) finishing.push(finish);
    }
    await removeApp(trx, guid);
    await recordAppEvent(trx, 'audit.app.delete-request', actor, found, { request: { recursive: true } });
    return found;
  });
  if (!app) return;
  context.changed([guid]);
  context.tasksChanged();
  logLine(context, app, `Deleted app with guid ${guid}`);
  for (const finish of finishing) await finish();
}

/** Every app of a space, each in transactions of its own. */
export async function deleteAppsOfSpace(context: Context, spaceGuid: Guid<'space'>, actor: Actor): Promise<void> {
  for (const guid of await appsOfSpace(context.db, spaceGuid)) await deleteApp(context, guid, actor);
}
