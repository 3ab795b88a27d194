import { recordAppEvent, SYSTEM_ACTOR } from '../apps/events.ts';
import { findApp } from '../apps/store.ts';
import type { Completion } from '../builds/complete.ts';
import type { Context } from '../context.ts';
import { inTurn } from '../database.ts';
import { UNENDED } from './state.ts';
import { findTask, updateTask } from './store.ts';

/** Ends a task. The same completion may come twice, and for tasks that are gone. */
export async function completeTask(context: Context, guid: string, completion: Completion): Promise<void> {
  const { db } = context;
  const task = await findTask(db, guid);
  const app = task ? await findApp(db, task.app_guid) : null;
  if (!task || !app) return;
  await inTurn(db, async (trx) => {
    const ended = await updateTask(trx, guid, UNENDED, {
      state: completion.failed ? 'FAILED' : 'SUCCEEDED',
      failure_reason: completion.failed ? completion.failureReason.slice(0, 1000) : null,
    });
    if (!ended) return;
    const type = completion.failed ? 'audit.app.task.fail' : 'audit.app.task.succeed';
    await recordAppEvent(trx, type, SYSTEM_ACTOR, app, { task_guid: guid });
  });
}
