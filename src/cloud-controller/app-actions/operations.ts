import { logLine } from '../apps/log-lines.ts';
import { CreateApp } from '../apps/schema.ts';
import { app, apps } from '../apps/subject.ts';
import { AppView } from '../apps/view.ts';
import { invalidSpace } from '../errors.ts';
import { created, ok, operation } from '../operation.ts';
import { space } from '../spaces/subject.ts';
import { shown } from '../standard.ts';
import { inBody } from '../subject.ts';
import { createApp } from './create.ts';
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
];
