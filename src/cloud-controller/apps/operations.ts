import { invalidSpace } from '../errors.ts';
import { listView } from '../list.ts';
import { created, ok, operation } from '../operation.ts';
import { createApp, updateApp } from './changes.ts';
import { includedOfApps } from './include.ts';
import { restartApp, startApp, stopApp } from './lifecycle.ts';
import { logLine } from './log-lines.ts';
import { CreateApp, UpdateApp } from './schema.ts';
import { appQuery, authorizeApp, listApps } from './store.ts';
import { appView } from './view.ts';

const ACTIONS = [
  { verb: 'start', change: startApp, line: 'Starting app with guid' },
  { verb: 'stop', change: stopApp, line: 'Stopping app with guid' },
  { verb: 'restart', change: restartApp, line: 'Restarted app with guid' },
] as const;

export const appOperations = [
  operation({
    id: 'GET /v3/apps',
    query: appQuery,
    async run(call) {
      const { db, links } = call.context;
      const found = await listApps(db, call.query, call.visibleSpaces());
      const included = await includedOfApps(call.context, found.rows, call.query.include);
      return ok(listView(links, '/v3/apps', call.query, found, (app) => appView(links, app), included));
    },
  }),

  operation({
    id: 'POST /v3/apps',
    body: CreateApp,
    async run(call) {
      const { db, links } = call.context;
      const { relationships, ...body } = call.body;
      const spaceGuid = relationships.space.data.guid;
      const space = await db
        .selectFrom('spaces')
        .innerJoin('organizations', 'organizations.guid', 'spaces.organization_guid')
        .select(['organizations.guid', 'organizations.suspended'])
        .where('spaces.guid', '=', spaceGuid)
        .executeTakeFirst();
      if (!space) throw invalidSpace();
      await call.authorize({ organization: space, space: { guid: spaceGuid } }, invalidSpace());
      const app = await db.transaction().execute((trx) => createApp(trx, call.context, call.actor, spaceGuid, body));
      logLine(call.context, app, `Created app with guid ${app.guid}`);
      return created(appView(links, app));
    },
  }),

  operation({
    id: 'GET /v3/apps/:guid',
    query: { include: ['space', 'space.organization', 'org'] },
    async run(call) {
      const app = await authorizeApp(call, call.params.guid);
      const included = await includedOfApps(call.context, [app], call.query.include);
      return ok({ ...appView(call.context.links, app), ...(included ? { included } : {}) });
    },
  }),

  operation({
    id: 'PATCH /v3/apps/:guid',
    body: UpdateApp,
    async run(call) {
      const { db, links } = call.context;
      const { guid } = await authorizeApp(call, call.params.guid);
      const app = await db.transaction().execute((trx) => updateApp(trx, call.actor, guid, call.body));
      logLine(call.context, app, `Updated app with guid ${guid} (${Object.keys(call.body).join(', ')})`);
      return ok(appView(links, app));
    },
  }),

  operation({
    id: 'DELETE /v3/apps/:guid',
    async run(call) {
      const app = await authorizeApp(call, call.params.guid);
      const job = await call.context.jobs.enqueue({
        operation: 'app.delete',
        actor: call.actor,
        resource: { type: 'app', guid: app.guid },
      });
      call.context.jobs.wake();
      return call.accepted(job);
    },
  }),

  ...ACTIONS.map(({ verb, change, line }) =>
    operation({
      id: `POST /v3/apps/:guid/actions/${verb}`,
      async run(call) {
        const { db, links } = call.context;
        const before = await authorizeApp(call, call.params.guid);
        const app = await db.transaction().execute((trx) => change(trx, call.actor, before.guid, before));
        call.context.wakeDiego();
        if (verb === 'restart' || before.state !== app.state) logLine(call.context, app, `${line} ${app.guid}`);
        return ok(appView(links, app));
      },
    }),
  ),

  operation({
    id: 'POST /v3/apps/:guid/actions/clear_buildpack_cache',
    async run(call) {
      const app = await authorizeApp(call, call.params.guid);
      const job = await call.context.jobs.enqueue({
        operation: 'buildpack_cache.delete',
        actor: call.actor,
        resource: { type: 'app', guid: app.guid },
      });
      call.context.jobs.wake();
      return call.accepted(job);
    },
  }),
];
