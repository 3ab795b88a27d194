import { sql } from 'kysely';
import { Type } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import { authorizeApp, lockApp } from '../apps/store.ts';
import { now } from '../database.ts';
import { CfError, unprocessable } from '../errors.ts';
import { isFeatureEnabled } from '../feature-flags/store.ts';
import { listView } from '../list.ts';
import { MetadataInput, mergeMetadata, metadataColumns, newMetadata } from '../metadata.ts';
import { type Answer, type Call, ok, operation } from '../operation.ts';
import { checkQuota, lockQuota } from '../processes/quota.ts';
import { findProcessOfType } from '../processes/store.ts';
import { authorizedTask, listTasks, openCommand, sealCommand, type Task, taskQuery, taskView } from './store.ts';

const LARGEST = 2_147_483_647;
const CreateTask = Type.Object(
  {
    command: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
    name: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
    memory_in_mb: Type.Optional(Type.Integer({ minimum: 1, maximum: LARGEST })),
    disk_in_mb: Type.Optional(Type.Integer({ minimum: 1, maximum: LARGEST })),
    log_rate_limit_in_bytes_per_second: Type.Optional(Type.Integer({ minimum: -1, maximum: LARGEST })),
    droplet_guid: Type.Optional(Type.String()),
    template: Type.Optional(
      Type.Object({ process: Type.Object({ guid: Type.String() }) }, { additionalProperties: false }),
    ),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

async function cancel(
  call: Pick<Call, 'context' | 'actor'>,
  found: Awaited<ReturnType<typeof authorizedTask>>,
): Promise<Answer> {
  const { db, links, sealer } = call.context;
  const { app, task } = found;
  const row = await db.transaction().execute(async (trx) => {
    const updated = await trx
      .updateTable('tasks')
      .set({ state: 'CANCELING', updated_at: now })
      .where('guid', '=', task.guid)
      .where('state', 'in', ['PENDING', 'RUNNING', 'CANCELING'])
      .returningAll()
      .executeTakeFirst();
    if (!updated) throw unprocessable(`Task state is ${task.state} and therefore cannot be canceled`);
    await recordAppEvent(trx, 'audit.app.task.cancel', call.actor, app, { task_guid: task.guid });
    return updated;
  });
  call.context.wakeDiego();
  return { status: 202, body: taskView(links, row, openCommand(sealer, row)) };
}

const hidden = (links: Parameters<typeof taskView>[0]) => (row: Task) => taskView(links, row, null);

export const taskOperations = [
  operation({
    id: 'GET /v3/tasks',
    query: taskQuery,
    async run(call) {
      const { db, links } = call.context;
      const found = await listTasks(db, call.query, { visible: call.visibleSpaces() });
      return ok(listView(links, '/v3/tasks', call.query, found, hidden(links)));
    },
  }),
  operation({
    id: 'GET /v3/apps/:guid/tasks',
    query: taskQuery,
    async run(call) {
      const { db, links } = call.context;
      const app = await authorizeApp(call, call.params.guid);
      const found = await listTasks(db, call.query, { appGuid: app.guid });
      return ok(listView(links, `/v3/apps/${app.guid}/tasks`, call.query, found, hidden(links)));
    },
  }),
  operation({
    id: 'POST /v3/apps/:guid/tasks',
    body: CreateTask,
    async run(call) {
      const { db, links, sealer, settings } = call.context;
      const { body } = call;
      const { guid: appGuid, ...place } = await authorizeApp(call, call.params.guid);
      if (!call.isAdmin && !(await isFeatureEnabled(db, 'task_creation'))) {
        throw new CfError('FeatureDisabled', 'Feature Disabled: task_creation');
      }
      const task = await db.transaction().execute(async (trx) => {
        await lockQuota(trx, place);
        const app = await lockApp(trx, appGuid);
        const dropletGuid = body.droplet_guid ?? app.droplet_guid;
        const droplet = await trx
          .selectFrom('droplets')
          .select(['guid', 'process_types'])
          .where('guid', '=', dropletGuid ?? '')
          .where('app_guid', '=', appGuid)
          .where('state', '=', 'STAGED')
          .executeTakeFirst();
        if (!droplet) throw unprocessable('Task must have a droplet. Assign current droplet to app.');
        const template = body.template
          ? await trx
              .selectFrom('processes')
              .selectAll()
              .where('guid', '=', body.template.process.guid)
              .where('app_guid', '=', appGuid)
              .executeTakeFirst()
          : await findProcessOfType(trx, appGuid, 'web');
        if (body.template && !template) throw unprocessable('Template process was not found');
        const fromTemplate =
          body.template && template ? (template.command ?? droplet.process_types[template.type]) : undefined;
        const command = body.command ?? fromTemplate;
        if (!command) throw unprocessable("Command can't be blank");
        const guid = crypto.randomUUID();
        const last = await trx
          .selectFrom('tasks')
          .select(sql<number | null>`max(sequence_id)`.as('last'))
          .where('app_guid', '=', appGuid)
          .executeTakeFirst();
        const row = await trx
          .insertInto('tasks')
          .values({
            guid,
            app_guid: appGuid,
            sequence_id: (last?.last ?? 0) + 1,
            name: body.name ?? guid.slice(0, 8),
            ...sealCommand(sealer, guid, command),
            state: 'PENDING',
            memory_mb:
              body.memory_in_mb ?? (body.template ? template?.memory_mb : undefined) ?? settings.defaults.memoryMb,
            disk_mb: body.disk_in_mb ?? (body.template ? template?.disk_mb : undefined) ?? settings.defaults.diskMb,
            log_rate_limit:
              body.log_rate_limit_in_bytes_per_second ?? (body.template ? template?.log_rate_limit : undefined) ?? -1,
            droplet_guid: droplet.guid,
            ...newMetadata(body.metadata),
          })
          .returningAll()
          .executeTakeFirstOrThrow();
        await checkQuota(trx, app);
        await recordAppEvent(trx, 'audit.app.task.create', call.actor, app, { task_guid: guid, request: { ...body } });
        return row;
      });
      call.context.wakeDiego();
      return { status: 202, body: taskView(links, task, openCommand(sealer, task)) };
    },
  }),
  operation({
    id: 'GET /v3/tasks/:guid',
    async run(call) {
      const { task, seesSecrets } = await authorizedTask(call, call.params.guid);
      const { links, sealer } = call.context;
      return ok(taskView(links, task, seesSecrets ? openCommand(sealer, task) : null));
    },
  }),
  operation({
    id: 'PATCH /v3/tasks/:guid',
    body: Type.Object({ metadata: Type.Optional(MetadataInput) }, { additionalProperties: false }),
    async run(call) {
      const { db, links, sealer } = call.context;
      const { task } = await authorizedTask(call, call.params.guid);
      const row = await db
        .updateTable('tasks')
        .set({ ...metadataColumns(mergeMetadata(task, call.body.metadata)), updated_at: now })
        .where('guid', '=', task.guid)
        .returningAll()
        .executeTakeFirstOrThrow();
      return ok(taskView(links, row, openCommand(sealer, row)));
    },
  }),
  operation({
    id: 'POST /v3/tasks/:guid/actions/cancel',
    run: async (call) => cancel(call, await authorizedTask(call, call.params.guid)),
  }),
  operation({
    id: 'PUT /v3/tasks/:guid/cancel',
    run: async (call) => cancel(call, await authorizedTask(call, call.params.guid)),
  }),
];
