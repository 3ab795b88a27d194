import type { TSchema } from 'typebox';
import { logLine } from '../apps/log-lines.ts';
import { app, inApp } from '../apps/subject.ts';
import { type Answers, type Call, type Definition, noContent, ok, operation, type Unread } from '../operation.ts';
import type { OperationId } from '../permissions.ts';
import { lists } from '../standard.ts';
import type { Source } from '../subject.ts';
import { changeProcess, scaleProcess } from './changes.ts';
import { instancesOf, retireInstance, statsOf } from './instances.ts';
import { ScaleProcess, UpdateProcess } from './schema.ts';
import { asShown, requireCurrent } from './shown.ts';
import { commandOf } from './store.ts';
import { type AppProcess, BY_GUID, BY_TYPE, process, processes } from './subject.ts';
import { InstancesView, ProcessView, processView, StatsView } from './view.ts';

/** Of a process by its guid, or by its app and its type: the same operations. */
type On = Readonly<{ process: Source<AppProcess, 'one'> }>;
type OnProcess<Body extends TSchema, A extends Answers> = Definition<OperationId, On, Body, A>;

const EMBED = { embed: ['process_instances'] } as const;

export const processOperations = [
  operation('GET /v3/processes', lists(processes)),

  operation(
    'GET /v3/apps/:guid/processes',
    lists(processes.without('app_guids', 'space_guids', 'organization_guids'), { on: app, inside: inApp('processes') }),
  ),

  operation('GET /v3/processes/:guid', shows(BY_GUID)),
  operation('GET /v3/apps/:guid/processes/:type', shows(BY_TYPE)),

  operation('PATCH /v3/processes/:guid', updates(BY_GUID)),
  operation('PATCH /v3/apps/:guid/processes/:type', updates(BY_TYPE)),

  operation('POST /v3/processes/:guid/actions/scale', scales(BY_GUID)),
  operation('POST /v3/apps/:guid/processes/:type/actions/scale', scales(BY_TYPE)),

  operation('GET /v3/processes/:guid/stats', showsStats(BY_GUID)),
  operation('GET /v3/apps/:guid/processes/:type/stats', showsStats(BY_TYPE)),

  operation('GET /v3/processes/:guid/process_instances', {
    on: process,
    answers: { 200: InstancesView },
    async run({ context, path, subject }) {
      const { links } = context;
      return ok({
        resources: [...((await instancesOf(context, [subject])).get(subject.guid) ?? [])],
        links: { self: links.to(path), process: links.to(`/v3/processes/${subject.guid}`) },
      });
    },
  }),

  operation('DELETE /v3/processes/:guid/instances/:index', retires(BY_GUID)),
  operation('DELETE /v3/apps/:guid/processes/:type/instances/:index', retires(BY_TYPE)),
];

function shows(on: On): OnProcess<Unread, { 200: typeof ProcessView }> {
  return {
    on,
    query: EMBED,
    answers: { 200: ProcessView },
    run: async (call) => ok(await viewOf(call, call.subject.process)),
  };
}

function updates(on: On): OnProcess<typeof UpdateProcess, { 200: typeof ProcessView }> {
  return {
    on,
    body: UpdateProcess,
    answers: { 200: ProcessView },
    async run(call) {
      const { context, actor, body } = call;
      const { app, ...before } = call.subject.process;
      requireCurrent(before);
      const after = await context.db.transaction().execute((trx) => changeProcess(trx, actor, app, before.guid, body));
      logLine(context, app, `Updated process ${before.type} of app with guid ${app.guid}`);
      return ok(await viewOf(call, { ...asShown(after), app }));
    },
  };
}

function scales(on: On): OnProcess<typeof ScaleProcess, { 202: typeof ProcessView }> {
  return {
    on,
    body: ScaleProcess,
    answers: { 202: ProcessView },
    async run(call) {
      const { context, actor, body } = call;
      const { app, ...before } = call.subject.process;
      const { settings } = context;
      requireCurrent(before);
      const after = await context.db
        .transaction()
        .execute((trx) => scaleProcess(trx, actor, app, before.guid, body, { settings }));
      context.changed([app.guid]);
      logLine(context, app, `Scaled process ${before.type} of app with guid ${app.guid} (${JSON.stringify(body)})`);
      return { status: 202, body: await viewOf(call, { ...asShown(after), app }) };
    },
  };
}

function showsStats(on: On): OnProcess<Unread, { 200: typeof StatsView }> {
  return {
    on,
    answers: { 200: StatsView },
    async run({ context, subject, warnings }) {
      return ok({ resources: await statsOf(context, subject.process, (sentence) => warnings.push(sentence)) });
    },
  };
}

function retires(on: On): OnProcess<Unread, { 204: null }> {
  return {
    on,
    answers: { 204: null },
    async run({ context, actor, params, subject }) {
      await retireInstance(context, subject.process, params.index, actor);
      return noContent();
    },
  };
}

/** With `embed=process_instances` also what it runs. */
async function viewOf({ context, query, reader }: Pick<Call, 'context' | 'query' | 'reader'>, process: AppProcess) {
  const { app } = process;
  const command = await commandOf(context.db, process, app.droplet_guid);
  const embeds = [...query.embed].includes('process_instances');
  const instances = embeds ? (await instancesOf(context, [process])).get(process.guid) : undefined;
  return processView(context.links, process, { instances, alone: { reader, command, spaceGuid: app.space_guid } });
}
