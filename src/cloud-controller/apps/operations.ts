import { ok, operation } from '../operation.ts';
import { stack } from '../stacks/subject.ts';
import { deletes, lists, PageOf, shown, shows } from '../standard.ts';
import { updateApp, updateVariables } from './changes.ts';
import { environmentView } from './environment.ts';
import { recordAppEvent, recordObservation } from './events.ts';
import { APP_FEATURES, featureNamed, featureView, setFeatures } from './features.ts';
import { logLine } from './log-lines.ts';
import { UpdateApp, UpdateFeature, UpdateVariables } from './schema.ts';
import { sshAccess } from './ssh.ts';
import { app, apps, stagedOn } from './subject.ts';
import { readVariables, sealedVariables, visibleVariables } from './variables.ts';
import {
  AppView,
  EnvironmentView,
  FeatureView,
  PermissionsView,
  SshView,
  VariablesView,
  variablesView,
} from './view.ts';

export const appOperations = [
  operation('GET /v3/apps', lists(apps)),

  operation(
    'GET /v3/stacks/:guid/apps',
    lists(apps.without('stacks', 'include'), { on: stack, inside: ({ name }) => stagedOn([name]) }),
  ),

  operation('GET /v3/apps/:guid', shows(app, apps)),

  operation('PATCH /v3/apps/:guid', {
    on: app,
    body: UpdateApp,
    answers: { 200: AppView },
    async run(call) {
      const { context, actor, body, subject } = call;
      const { guid } = subject;
      const updated = await context.db.transaction().execute((trx) => updateApp(trx, actor, guid, body));
      if (body.name !== undefined) context.changed([guid]);
      logLine(context, updated, `Updated app with guid ${guid} (${Object.keys(body).join(', ')})`);
      return ok(await shown(call, apps, updated));
    },
  }),

  operation('DELETE /v3/apps/:guid', deletes(app, 'app')),

  operation('GET /v3/apps/:guid/env', {
    on: app,
    answers: { 200: EnvironmentView },
    async run({ context, actor, reader, subject }) {
      const variables = readVariables(context, await sealedVariables(context.db, subject.guid));
      await recordObservation(context.db, 'audit.app.environment.show', actor, subject, {});
      return ok(await environmentView(context, subject, variables, reader));
    },
  }),

  operation('GET /v3/apps/:guid/environment_variables', {
    on: app,
    answers: { 200: VariablesView },
    async run({ context, actor, subject }) {
      const variables = readVariables(context, await sealedVariables(context.db, subject.guid));
      await recordObservation(context.db, 'audit.app.environment_variables.show', actor, subject, {});
      return ok(variablesView(context.links, subject, variables));
    },
  }),

  operation('PATCH /v3/apps/:guid/environment_variables', {
    on: app,
    body: UpdateVariables,
    answers: { 200: VariablesView },
    async run(call) {
      const { context, actor, body, subject } = call;
      const sealed = await updateVariables(context, actor, subject.guid, body);
      // Who may change variables and not read them is told what they set.
      const variables = (await visibleVariables(call, sealed)) ?? setBy(body.var);
      return ok(variablesView(context.links, subject, variables));
    },
  }),

  operation('GET /v3/apps/:guid/features', {
    on: app,
    answers: { 200: PageOf(FeatureView) },
    async run({ context, path, subject }) {
      const self = context.links.to(path);
      const pages = { total_results: APP_FEATURES.length, total_pages: 1, next: null, previous: null };
      return ok({
        resources: APP_FEATURES.map((name) => featureView(subject, name)),
        pagination: { ...pages, first: self, last: self },
      });
    },
  }),

  operation('GET /v3/apps/:guid/features/:name', {
    on: app,
    answers: { 200: FeatureView },
    run: async ({ params, subject }) => ok(featureView(subject, featureNamed(params.name))),
  }),

  operation('PATCH /v3/apps/:guid/features/:name', {
    on: app,
    body: UpdateFeature,
    answers: { 200: FeatureView },
    sets: ({ params }) => [`app.features.${featureNamed(params.name)}`],
    async run({ context, actor, body, params, subject }) {
      const name = featureNamed(params.name);
      const features = { [name]: body.enabled };
      const written = await context.db.transaction().execute(async (trx) => {
        const columns = await setFeatures(trx, subject.guid, features);
        await recordAppEvent(trx, 'audit.app.update', actor, subject, { request: { features } });
        return columns;
      });
      return ok(featureView({ ...subject, ...written }, name));
    },
  }),

  operation('GET /v3/apps/:guid/ssh_enabled', {
    on: app,
    answers: { 200: SshView },
    run: async ({ context, subject }) => ok(await sshAccess(context, subject)),
  }),

  operation('GET /v3/apps/:guid/permissions', {
    on: app,
    answers: { 200: PermissionsView },
    async run({ reader }) {
      return ok({ read_basic_data: true, read_sensitive_data: reader.sees('app.permissions.read_sensitive_data') });
    },
  }),
];

function setBy(changes: Readonly<Record<string, string | null>>): Record<string, string> {
  return Object.fromEntries(Object.entries(changes).filter((change): change is [string, string] => change[1] !== null));
}
