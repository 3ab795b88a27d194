import type { Static } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import { type App, lockApp } from '../apps/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import type { Trx } from '../database.ts';
import { findStagedDroplet } from '../droplets/store.ts';
import { unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { newMetadata } from '../metadata.ts';
import { findProcess, type Process } from '../processes/store.ts';
import { type Counted, withinQuota } from '../quotas/within.ts';
import type { CreateTask } from './schema.ts';
import { insertTask, nextSequenceId, sealCommand, type Task } from './store.ts';

type NewTask = Static<typeof CreateTask>;

/** Makes a task of an app, to be handed over to Diego. Throws UnprocessableEntity where there is nothing to run, QuotaExceeded. */
export async function createTask(context: Context, app: App, body: NewTask, actor: Actor): Promise<Task> {
  const most = context.settings.maximumAppDiskMb;
  if ((body.disk_in_mb ?? 0) > most) throw unprocessable(`Cannot request disk_in_mb greater than ${most}`);
  return context.db
    .transaction()
    .execute((trx) => withinQuota(trx, app, (counted) => insert(counted, context, app.guid, body, actor)));
}

async function insert(
  trx: Counted,
  { sealer, settings }: Context,
  appGuid: Guid<'app'>,
  body: NewTask,
  actor: Actor,
): Promise<Task> {
  const app = await lockApp(trx, appGuid);
  const wanted = body.droplet_guid ?? app.droplet_guid;
  const droplet = wanted === null ? null : await findStagedDroplet(trx, app.guid, wanted);
  if (!droplet) throw unprocessable('Task must have a droplet. Assign current droplet to app.');
  const template = body.template ? await processOfApp(trx, app, body.template.process.guid) : null;
  const command = body.command ?? (template && (template.command ?? droplet.process_types[template.type]));
  if (!command) throw unprocessable("Command can't be blank");
  const guid = crypto.randomUUID();
  const row = await insertTask(trx, {
    guid,
    app_guid: app.guid,
    sequence_id: await nextSequenceId(trx, app.guid),
    name: body.name ?? guid.slice(0, 8),
    ...sealCommand(sealer, guid, command),
    state: 'PENDING',
    memory_mb: body.memory_in_mb ?? template?.memory_mb ?? settings.defaults.memoryMb,
    disk_mb: body.disk_in_mb ?? template?.disk_mb ?? settings.defaults.diskMb,
    log_rate_limit: body.log_rate_limit_in_bytes_per_second ?? template?.log_rate_limit ?? -1,
    droplet_guid: droplet.guid,
    ...newMetadata(body.metadata),
  });
  await recordAppEvent(trx, 'audit.app.task.create', actor, app, { task_guid: guid, request: { ...body } });
  return row;
}

async function processOfApp(trx: Trx, app: App, guid: string): Promise<Process> {
  const process = await findProcess(trx, guid);
  if (process?.app_guid !== app.guid) throw unprocessable('Template process was not found');
  return process;
}
