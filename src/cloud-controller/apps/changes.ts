import type { Static } from 'typebox';
import type { Actor } from '../authorization.ts';
import { lifecycleTypeOf, readLifecycle } from '../buildpacks/store.ts';
import type { Context } from '../context.ts';
import { type Db, now } from '../database.ts';
import { requireDocker } from '../docker/images.ts';
import { type MetadataInput, mergeMetadata, metadataColumns, newMetadata } from '../metadata.ts';
import { insertProcess, newProcess } from '../processes/store.ts';
import { recordAppEvent } from './events.ts';
import type { CreateApp, UpdateApp } from './schema.ts';
import { type App, appNameTaken, lockApp } from './store.ts';
import { checkVariables, sealVariables } from './variables.ts';

type NewApp = Omit<Static<typeof CreateApp>, 'relationships'> & { metadata?: MetadataInput | undefined };

/** Makes an app with its web process, stopped. Throws UniquenessError, UnprocessableEntity. */
export async function createApp(
  trx: Db,
  context: Context,
  actor: Actor,
  spaceGuid: string,
  body: NewApp,
  data: Record<string, unknown> = {},
): Promise<App> {
  const guid = crypto.randomUUID();
  const variables = body.environment_variables ?? {};
  checkVariables(variables);
  const type = lifecycleTypeOf(body.lifecycle);
  await requireDocker(trx, type);
  const none = { lifecycle: type, buildpacks: [], stack: context.defaultStack };
  const lifecycle = await readLifecycle(trx, body.lifecycle, none);
  const values = {
    guid,
    name: body.name,
    space_guid: spaceGuid,
    state: 'STOPPED' as const,
    ...lifecycle,
    ...sealVariables(context.sealer, guid, variables),
    droplet_guid: null,
    ...newMetadata(body.metadata),
  };
  await trx
    .insertInto('apps')
    .values(values)
    .execute()
    .catch((error: unknown) => {
      throw appNameTaken(error, body.name);
    });
  await insertProcess(trx, newProcess({ guid, state: 'STOPPED' }, 'web', context.settings.defaults));
  const app = await lockApp(trx, guid);
  await recordAppEvent(trx, 'audit.app.create', actor, app, { ...data, request: body });
  return app;
}

/** Changes name, lifecycle or metadata. */
export async function updateApp(
  trx: Db,
  actor: Actor,
  guid: string,
  body: Static<typeof UpdateApp>,
  data: Record<string, unknown> = {},
): Promise<App> {
  const app = await lockApp(trx, guid);
  const lifecycle = body.lifecycle ? await readLifecycle(trx, body.lifecycle, app) : {};
  await trx
    .updateTable('apps')
    .set({
      ...(body.name === undefined ? {} : { name: body.name }),
      ...lifecycle,
      ...metadataColumns(mergeMetadata(app, body.metadata)),
      updated_at: now,
    })
    .where('guid', '=', guid)
    .execute()
    .catch((error: unknown) => {
      throw appNameTaken(error, body.name ?? app.name);
    });
  await recordAppEvent(trx, 'audit.app.update', actor, app, { ...data, request: body });
  return lockApp(trx, guid);
}
