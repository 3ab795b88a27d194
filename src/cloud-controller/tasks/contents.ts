import { appEvent } from '../apps/events.ts';
import { recordEvents } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context, GoingApp } from '../context.ts';
import type { Trx } from '../database.ts';

/** What goes with an app ends as if somebody cancelled it: the reconciler finds it unwanted. */
export async function cancelTasksOfApp(_context: Context, trx: Trx, app: GoingApp, actor: Actor): Promise<undefined> {
  const tasks = await trx
    .selectFrom('tasks')
    .select('guid')
    .where('app_guid', '=', app.guid)
    .where('state', 'in', ['PENDING', 'RUNNING'])
    .execute();
  await recordEvents(
    trx,
    tasks.map(({ guid }) => appEvent('audit.app.task.cancel', actor, app, { task_guid: guid })),
  );
}
