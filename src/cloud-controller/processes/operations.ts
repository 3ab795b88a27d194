import type { Static } from 'typebox';
import { authorizeByApp } from '../apps/belongings.ts';
import { recordAppEvent } from '../apps/events.ts';
import { logLine } from '../apps/log-lines.ts';
import { type App, authorizeApp } from '../apps/store.ts';
import type { Context } from '../context.ts';
import { notFound } from '../errors.ts';
import { listView } from '../list.ts';
import { type Answer, type Call, noContent, ok, operation } from '../operation.ts';
import { changeProcess, scaleProcess } from './changes.ts';
import { instancesOf, retireInstance, statsOf } from './instances.ts';
import { ScaleProcess, UpdateProcess } from './schema.ts';
import { findProcess, findProcessOfType, listProcesses, type Process, processQuery } from './store.ts';
import { processView } from './view.ts';

interface Found {
  app: App;
  process: Process;
}

/** The process of a guid, if the caller may do this to it. */
async function byGuid(call: Pick<Call, 'authorize' | 'context'>, guid: string): Promise<Found> {
  const { app, row } = await authorizeByApp(call, await findProcess(call.context.db, guid), notFound('Process'));
  return { app, process: row };
}

/** The process of an app and a type, if the caller may do this to it. */
async function byType(call: Pick<Call, 'authorize' | 'context'>, appGuid: string, type: string): Promise<Found> {
  const app = await authorizeApp(call, appGuid);
  const process = await findProcessOfType(call.context.db, appGuid, type);
  if (!process) throw notFound('Process');
  return { app, process };
}

/** What each process's droplet says it starts with, by process guid. */
export async function detectedCommands(
  context: Pick<Context, 'db'>,
  processes: readonly Process[],
): Promise<ReadonlyMap<string, string>> {
  if (processes.length === 0) return new Map();
  const rows = await context.db
    .selectFrom('processes')
    .innerJoin('apps', 'apps.guid', 'processes.app_guid')
    .innerJoin('droplets', (join) =>
      join.on((eb) => eb('droplets.guid', '=', eb.fn.coalesce('processes.droplet_guid', 'apps.droplet_guid'))),
    )
    .select(['processes.guid', 'processes.type', 'droplets.process_types'])
    .where(
      'processes.guid',
      'in',
      processes.map((process) => process.guid),
    )
    .execute();
  return new Map(rows.map((row) => [row.guid, row.process_types[row.type] ?? '']));
}

async function view(call: Pick<Call, 'context'>, app: App, process: Process): Promise<Record<string, unknown>> {
  const detected = await detectedCommands(call.context, [process]);
  const options = { inList: false, spaceGuid: app.space_guid };
  return processView(call.context.links, process, detected.get(process.guid) ?? null, options);
}

type Asking = Pick<Call, 'context' | 'query' | 'actor' | 'isAdmin'>;

async function list(call: Asking, path: string, only: Parameters<typeof listProcesses>[2]): Promise<Answer> {
  const { db, links } = call.context;
  const found = await listProcesses(db, call.query, only);
  const detected = await detectedCommands(call.context, found.rows);
  return ok(
    listView(links, path, call.query, found, (row) =>
      processView(links, row, detected.get(row.guid) ?? null, { inList: true, spaceGuid: null }),
    ),
  );
}

async function update(call: Asking, { app, process }: Found, body: Static<typeof UpdateProcess>): Promise<Answer> {
  const { db } = call.context;
  const after = await db.transaction().execute((trx) => changeProcess(trx, call.actor, app, process.guid, body));
  logLine(call.context, app, `Updated process ${process.type} of app with guid ${app.guid}`);
  return ok(await view(call, app, after));
}

async function scale(call: Asking, { app, process }: Found, body: Static<typeof ScaleProcess>): Promise<Answer> {
  const { db } = call.context;
  const after = await db
    .transaction()
    .execute((trx) => scaleProcess(trx, call.actor, app, process.guid, body, { isAdmin: call.isAdmin }));
  call.context.wakeDiego();
  logLine(call.context, app, `Scaled process ${process.type} of app with guid ${app.guid} (${JSON.stringify(body)})`);
  return { status: 202, body: await view(call, app, after) };
}

async function retire(call: Asking, { app, process }: Found, index: string): Promise<Answer> {
  await retireInstance(call.context, app, process, index);
  await recordAppEvent(call.context.db, 'audit.app.process.terminate_instance', call.actor, app, {
    process_guid: process.guid,
    process_type: process.type,
    process_index: index,
  });
  return noContent();
}

export const processOperations = [
  operation({
    id: 'GET /v3/processes',
    query: processQuery,
    run: (call) => list(call, '/v3/processes', { visible: call.visibleSpaces() }),
  }),
  operation({
    id: 'GET /v3/apps/:guid/processes',
    query: { ...processQuery, filters: ['types'] },
    async run(call) {
      const app = await authorizeApp(call, call.params.guid);
      return list(call, `/v3/apps/${app.guid}/processes`, { appGuid: app.guid });
    },
  }),
  operation({
    id: 'GET /v3/processes/:guid',
    query: { values: ['embed'] },
    async run(call) {
      const { app, process } = await byGuid(call, call.params.guid);
      return ok(await view(call, app, process));
    },
  }),
  operation({
    id: 'GET /v3/apps/:guid/processes/:type',
    query: { values: ['embed'] },
    async run(call) {
      const { app, process } = await byType(call, call.params.guid, call.params.type);
      return ok(await view(call, app, process));
    },
  }),
  operation({
    id: 'PATCH /v3/processes/:guid',
    body: UpdateProcess,
    run: async (call) => update(call, await byGuid(call, call.params.guid), call.body),
  }),
  operation({
    id: 'PATCH /v3/apps/:guid/processes/:type',
    body: UpdateProcess,
    run: async (call) => update(call, await byType(call, call.params.guid, call.params.type), call.body),
  }),
  operation({
    id: 'POST /v3/processes/:guid/actions/scale',
    body: ScaleProcess,
    run: async (call) => scale(call, await byGuid(call, call.params.guid), call.body),
  }),
  operation({
    id: 'POST /v3/apps/:guid/processes/:type/actions/scale',
    body: ScaleProcess,
    run: async (call) => scale(call, await byType(call, call.params.guid, call.params.type), call.body),
  }),
  operation({
    id: 'GET /v3/processes/:guid/stats',
    async run(call) {
      const { process } = await byGuid(call, call.params.guid);
      return ok({ resources: await statsOf(call.context, process) });
    },
  }),
  operation({
    id: 'GET /v3/apps/:guid/processes/:type/stats',
    async run(call) {
      const { process } = await byType(call, call.params.guid, call.params.type);
      return ok({ resources: await statsOf(call.context, process) });
    },
  }),
  operation({
    id: 'GET /v3/processes/:guid/process_instances',
    async run(call) {
      const { process } = await byGuid(call, call.params.guid);
      const path = `/v3/processes/${process.guid}`;
      const { links } = call.context;
      return ok({
        resources: await instancesOf(call.context, process),
        links: { self: links.to(`${path}/process_instances`), process: links.to(path) },
      });
    },
  }),
  operation({
    id: 'DELETE /v3/processes/:guid/instances/:index',
    run: async (call) => retire(call, await byGuid(call, call.params.guid), call.params.index),
  }),
  operation({
    id: 'DELETE /v3/apps/:guid/processes/:type/instances/:index',
    run: async (call) => retire(call, await byType(call, call.params.guid, call.params.type), call.params.index),
  }),
];
