import { now } from '../database.ts';
import { vcapApplication } from '../diego/environment.ts';
import { environmentGroup } from '../diego/groups.ts';
import { urisOfApp } from '../diego/routes.ts';
import { CfError, notFound } from '../errors.ts';
import { isFeatureEnabled } from '../feature-flags/store.ts';
import { ok, operation } from '../operation.ts';
import { recordAppEvent } from './events.ts';
import { logLine } from './log-lines.ts';
import { UpdateFeature, UpdateVariables } from './schema.ts';
import { sshAccess } from './ssh.ts';
import { type App, authorizeApp, identityOf, lockApp, placeOf } from './store.ts';
import { mergeVariables, openVariables } from './variables.ts';

const variablesView = (path: (suffix: string) => { href: string }, variables: unknown) => ({
  var: variables,
  links: { self: path('/environment_variables'), app: path('') },
});

export const appEnvironmentOperations = [
  operation({
    id: 'GET /v3/apps/:guid/env',
    async run(call) {
      const { db, sealer, settings } = call.context;
      const app = await authorizeApp(call, call.params.guid);
      await checkVisibility(call.context.db, call.isAdmin);
      await recordAppEvent(db, 'audit.app.environment.show', call.actor, app);
      const uris = await urisOfApp(db, app.guid);
      return ok({
        staging_env_json: await environmentGroup(call.context, 'staging'),
        running_env_json: await environmentGroup(call.context, 'running'),
        environment_variables: openVariables(sealer, app),
        system_env_json: { VCAP_SERVICES: {} },
        application_env_json: {
          VCAP_APPLICATION: vcapApplication({
            app: identityOf(app),
            apiUrl: settings.urls.api,
            uris,
            fileDescriptors: 16384,
          }),
        },
      });
    },
  }),

  operation({
    id: 'GET /v3/apps/:guid/environment_variables',
    async run(call) {
      const { db, sealer, links } = call.context;
      const app = await authorizeApp(call, call.params.guid);
      await checkVisibility(db, call.isAdmin);
      await recordAppEvent(db, 'audit.app.environment_variables.show', call.actor, app);
      const path = (suffix: string) => links.to(`/v3/apps/${app.guid}${suffix}`);
      return ok(variablesView(path, openVariables(sealer, app)));
    },
  }),

  operation({
    id: 'PATCH /v3/apps/:guid/environment_variables',
    body: UpdateVariables,
    async run(call) {
      const { db, sealer, links } = call.context;
      const { guid } = await authorizeApp(call, call.params.guid);
      const { app, variables } = await db.transaction().execute(async (trx) => {
        const app = await lockApp(trx, guid);
        const variables = await mergeVariables(trx, sealer, app, call.body.var);
        await recordAppEvent(trx, 'audit.app.update', call.actor, app, { request: { environment_variables: {} } });
        return { app, variables };
      });
      logLine(call.context, app, `Updated app with guid ${guid} (environment_variables)`);
      const path = (suffix: string) => links.to(`/v3/apps/${guid}${suffix}`);
      return ok(variablesView(path, variables));
    },
  }),

  operation({
    id: 'GET /v3/apps/:guid/features',
    async run(call) {
      const app = await authorizeApp(call, call.params.guid);
      const { links } = call.context;
      const path = links.to(`/v3/apps/${app.guid}/features`);
      return ok({
        resources: FEATURES.map((name) => featureView(app, name)),
        pagination: {
          total_results: FEATURES.length,
          total_pages: 1,
          first: path,
          last: path,
          next: null,
          previous: null,
        },
      });
    },
  }),

  operation({
    id: 'GET /v3/apps/:guid/features/:name',
    async run(call) {
      const app = await authorizeApp(call, call.params.guid);
      return ok(featureView(app, featureNamed(call.params.name)));
    },
  }),

  operation({
    id: 'PATCH /v3/apps/:guid/features/:name',
    body: UpdateFeature,
    async run(call) {
      const { db } = call.context;
      const app = await authorizeApp(call, call.params.guid);
      const name = featureNamed(call.params.name);
      await db.transaction().execute((trx) => setFeatures(trx, app.guid, { [name]: call.body.enabled }));
      await recordAppEvent(db, 'audit.app.update', call.actor, app, {
        request: { features: { [name]: call.body.enabled } },
      });
      return ok(featureView({ ...app, [COLUMN[name]]: call.body.enabled }, name));
    },
  }),

  operation({
    id: 'GET /v3/apps/:guid/ssh_enabled',
    async run(call) {
      const app = await authorizeApp(call, call.params.guid);
      return ok(await sshAccess(call.context, app));
    },
  }),

  operation({
    id: 'GET /v3/apps/:guid/permissions',
    async run(call) {
      const app = await authorizeApp(call, call.params.guid);
      const roles = await call.authorize(placeOf(app), notFound('App'));
      const sensitive = ['admin', 'admin_read_only', 'space_developer'] as const;
      return ok({
        read_basic_data: true,
        read_sensitive_data: sensitive.some((role) => roles.has(role)),
      });
    },
  }),
];

const FEATURES = ['ssh', 'revisions', 'rolling-restarts'] as const;
type Feature = (typeof FEATURES)[number];
const COLUMN = {
  ssh: 'ssh_enabled',
  revisions: 'revisions_enabled',
  'rolling-restarts': 'rolling_restarts_enabled',
} as const;
const DESCRIPTION = {
  ssh: 'Enable SSHing into the app.',
  revisions: 'Enable versioning of an application',
  'rolling-restarts': 'Keep old instances serving while new ones start when the app is restarted or stopped.',
} as const;

function featureNamed(name: string): Feature {
  const found = FEATURES.find((feature) => feature === name);
  if (!found) throw notFound('Feature');
  return found;
}

function featureView(app: Pick<App, (typeof COLUMN)[Feature]>, name: Feature) {
  return { name, description: DESCRIPTION[name], enabled: app[COLUMN[name]] };
}

/** Turns features on and off by name; names that are none are left alone. */
export async function setFeatures(
  trx: Parameters<typeof lockApp>[0],
  guid: string,
  features: Readonly<Record<string, boolean>>,
): Promise<void> {
  const columns: Partial<Record<(typeof COLUMN)[Feature], boolean>> = {};
  for (const name of FEATURES) {
    const value = features[name];
    if (value !== undefined) columns[COLUMN[name]] = value;
  }
  if (Object.keys(columns).length === 0) return;
  await trx
    .updateTable('apps')
    .set({ ...columns, updated_at: now })
    .where('guid', '=', guid)
    .execute();
}

/** The foundation may hide environment variables from everybody but its admins. */
async function checkVisibility(db: Parameters<typeof lockApp>[0], isAdmin: boolean): Promise<void> {
  if (isAdmin) return;
  for (const flag of ['env_var_visibility', 'space_developer_env_var_visibility'] as const) {
    if (!(await isFeatureEnabled(db, flag))) throw new CfError('FeatureDisabled', `Feature Disabled: ${flag}`);
  }
}
