import { messageOf } from '../../kit/errors.ts';
import { openVariables } from '../apps/sealed-variables.ts';
import { findAppWithVariables, identityOf, urisOfApp } from '../apps/store.ts';
import { FILE_DESCRIPTORS } from '../apps/vcap-application.ts';
import type { Context } from '../context.ts';
import { cancelTasks } from '../diego/cancel.ts';
import { egressRules } from '../diego/egress-rules.ts';
import { runningEnvironment } from '../diego/environment.ts';
import { commandTask, TASK_DOMAIN } from '../diego/recipe.ts';
import { contentOf } from '../diego/wanted.ts';
import { findSealedDroplet } from '../droplets/store.ts';
import { readGroup } from '../environment-variable-groups/store.ts';
import { placementTags } from '../isolation-segments/placement.ts';
import { completeTask } from './complete.ts';
import { findSealedTask, markDesired, openCommand, type Task, unendedTasks, updateTask } from './store.ts';

const BLOB_URL_SECONDS = 24 * 3600;

/**
 * Brings tasks and Diego's tasks together: hands over, follows, cancels, and ends what Diego has lost. True while there
 * are tasks to follow.
 */
export async function syncTasks(context: Context): Promise<boolean> {
  const { db, bbs, log } = context;
  const { tasks } = await bbs.tasks({ domain: TASK_DOMAIN });
  const known = new Map(tasks.map((task) => [task.taskGuid, task]));
  const wanted = await unendedTasks(db);
  // One that another has handed over in between is not lost.
  if (wanted.some((task) => isHandedOver(task) && !known.has(task.guid))) {
    for (const task of (await bbs.tasks({ domain: TASK_DOMAIN })).tasks) known.set(task.taskGuid, task);
  }
  for (const task of wanted) {
    const there = known.get(task.guid);
    try {
      if (there?.state === 'COMPLETED') await completeTask(context, task.guid, there);
      else if (task.state === 'CANCELING' && there) await bbs.cancelTask({ taskGuid: task.guid });
      else if (task.state === 'CANCELING') await end(context, task, 'task was cancelled');
      else if (!there && !isHandedOver(task)) await handOver(context, task);
      else if (!there) await end(context, task, 'unable to determine the result of the task');
      else if (there.state === 'RUNNING' && task.state === 'PENDING')
        await updateTask(db, task.guid, ['PENDING'], { state: 'RUNNING' });
    } catch (error) {
      log.warn('a task was not brought in step with Diego; it is tried again', {
        task: task.guid,
        error: messageOf(error),
      });
    }
  }
  const guids = new Set(wanted.map((task) => task.guid));
  const left = tasks.filter((task) => !guids.has(task.taskGuid) && task.state !== 'COMPLETED');
  return !(await cancelTasks(bbs, left, log)) || wanted.length > 0;
}

/** One may run before whoever handed it over has written that down. */
function isHandedOver({ desired_at: desiredAt, state }: Task): boolean {
  return desiredAt !== null || state === 'RUNNING';
}

const end = (context: Context, task: Task, failureReason: string): Promise<void> =>
  completeTask(context, task.guid, { failed: true, failureReason, result: '' });

async function handOver(context: Context, task: Task): Promise<void> {
  const { db, bbs, sealer, settings } = context;
  const app = await findAppWithVariables(db, task.app_guid);
  const droplet = await findSealedDroplet(db, task.droplet_guid);
  const content = droplet ? contentOf(context, droplet, BLOB_URL_SECONDS) : null;
  if (!app || !droplet || !content) return end(context, task, 'the droplet is gone');
  const environment = runningEnvironment({
    app: identityOf(app),
    apiUrl: settings.urls.api,
    uris: await urisOfApp(db, app.guid),
    group: (await readGroup(db, sealer, 'running')).variables,
    variables: openVariables(sealer, app),
    services: {},
    memoryMb: task.memory_mb,
    diskMb: task.disk_mb,
    fileDescriptors: FILE_DESCRIPTORS,
    processGuid: task.guid,
    processType: 'TASK',
    version: task.guid,
  });
  // Another process may have handed it over since all were compared, and it may have ended: it would run once more.
  const current = await findSealedTask(db, task.guid);
  if (current?.state !== 'PENDING' || isHandedOver(current)) return;
  await bbs.desireTask(
    commandTask({
      app: identityOf(app),
      taskGuid: task.guid,
      taskName: task.name,
      stack: droplet.stack ?? app.stack,
      memoryMb: task.memory_mb,
      diskMb: task.disk_mb,
      logRateLimit: task.log_rate_limit,
      placementTags: await placementTags(db, app.space_guid),
      command: openCommand(sealer, current),
      environment,
      egressRules: await egressRules(db, 'running')(app.space_guid),
      content,
    }),
  );
  await markDesired(db, task.guid);
}
