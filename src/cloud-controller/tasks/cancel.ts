import { recordAppEvent } from '../apps/events.ts';
import type { OfApp } from '../apps/subject.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { unprocessable } from '../errors.ts';
import { UNENDED } from './state.ts';
import { type Task, updateTask } from './store.ts';

/** Asks for the end of a task; Diego ends it. Throws UnprocessableEntity where it has ended. */
export async function cancelTask(context: Context, { guid, app, state }: OfApp<Task>, actor: Actor): Promise<Task> {
  const canceling = await context.db.transaction().execute(async (trx) => {
    const updated = await updateTask(trx, guid, UNENDED, { state: 'CANCELING' });
    if (!updated) throw unprocessable(`Task state is ${state} and therefore cannot be canceled`);
    await recordAppEvent(trx, 'audit.app.task.cancel', actor, app, { task_guid: guid });
    return updated;
  });
  context.tasksChanged();
  return canceling;
}
