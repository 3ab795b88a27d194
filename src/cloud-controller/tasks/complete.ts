import { recordAppEvent, SYSTEM_ACTOR } from '../apps/events.ts';
import { findApp } from '../apps/store.ts';
import type { Completion } from '../builds/complete.ts';
import type { Context } from '../context.ts';
import { now } from '../database.ts';

/** Ends a task. The same completion may come twice, and for tasks that are gone. */
export async function completeTask(context: Context, guid: string, completion: Completion): Promise<void> {
  const { db } = context;
  const task = await db.selectFrom('tasks').selectAll().where('guid', '=', guid).executeTakeFirst();
  const app = task ? await findApp(db, task.app_guid) : null;
  if (!task || !app) return;
  await db.transaction().execute(async (trx) => {
    const ended = await trx
      .updateTable('tasks')
      .set({
        state: completion.failed ? 'FAILED' : 'SUCCEEDED',
        failure_reason: completion.failed ? completion.failureReason.slice(0, 1000) : null,
        updated_at: now,
      })
      .where('guid', '=', guid)
      .where('state', 'in', ['PENDING', 'RUNNING', 'CANCELING'])
      .returning('guid')
      .executeTakeFirst();
    if (!ended) return;
    const verb = completion.failed ? 'fail' : 'succeed';
    await recordAppEvent(trx, `audit.app.task.${verb}`, SYSTEM_ACTOR, app, { task_guid: guid });
  });
}
