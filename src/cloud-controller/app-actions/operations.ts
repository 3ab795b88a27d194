import { logLine } from '../apps/log-lines.ts';
import { CreateApp } from '../apps/schema.ts';
import { app, apps } from '../apps/subject.ts';
import { AppView } from '../apps/view.ts';
import { currentDropletView } from '../droplets/view.ts';
import { invalidSpace, notFound } from '../errors.ts';
import { created, ok, operation } from '../operation.ts';
import { RelationshipToOne, ToOneOrNone } from '../relationships.ts';
import { space } from '../spaces/subject.ts';
import { shown } from '../standard.ts';
import { inBody } from '../subject.ts';
import { createApp } from './create.ts';
import { assignDroplet } from './droplet.ts';
import { restartApp, startApp, stopApp } from './run.ts';

const ACTIONS = [
  { verb: 'start', change: startApp, line: 'Starting app with guid' },
  { verb: 'stop', change: stopApp, line: 'Stopping app with guid' },
  { verb: 'restart', change: restartApp, line: 'Restarted app with guid' },
] as const;

export const appActionOperations = [
  operation('POST /v3/apps', {
    on: { space: inBody('relationships.space', space, invalidSpace) },
    body: CreateApp,
    answers: { 201: AppView },
    async run(call) {
      const { context, actor, subject } = call;
      const { relationships: _space, ...body } = call.body;
      const made = await context.db
        .transaction()
        .execute((trx) => createApp(trx, context, actor, subject.space.guid, body));
      logLine(context, made, `Created app with guid ${made.guid}`);
      return created(await shown(call, apps, made));
    },
  }),

  ...ACTIONS.map(({ verb, change, line }) =>
    operation(`POST /v3/apps/:guid/actions/${verb}`, {
      on: app,
      answers: { 200: AppView },
      async run(call) {
        const { context, actor, subject: before } = call;
        const after = await context.db.transaction().execute((trx) => change(trx, actor, before.guid, before));
        context.changed([after.guid]);
        if (verb === 'restart' || before.state !== after.state) logLine(context, after, `${line} ${after.guid}`);
        return ok(await shown(call, apps, after));
      },
    }),
  ),

  operation('GET /v3/apps/:guid/relationships/current_droplet', {
    on: app,
    answers: { 200: RelationshipToOne },
    async run({ context, subject }) {
      if (subject.droplet_guid === null) throw notFound('Droplet');
      return ok(currentDropletView(context.links, subject.guid, subject.droplet_guid));
    },
  }),

  operation('PATCH /v3/apps/:guid/relationships/current_droplet', {
    on: app,
    body: ToOneOrNone<'droplet'>(),
    answers: { 200: RelationshipToOne },
    async run({ actor, body, context, subject }) {
      const { guid } = subject;
      const dropletGuid = body.data?.guid ?? null;
      const changed = await context.db
        .transaction()
        .execute((trx) => assignDroplet(trx, context, actor, guid, dropletGuid));
      logLine(context, changed, `Updated app with guid ${guid} (droplet_guid: ${dropletGuid})`);
      return ok(currentDropletView(context.links, guid, dropletGuid));
    },
  }),
];
