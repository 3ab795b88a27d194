import type { Static } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import type { CreateApp } from '../apps/schema.ts';
import { sealVariables } from '../apps/sealed-variables.ts';
import { type App, insertApp, lockApp } from '../apps/store.ts';
import { checkVariables } from '../apps/variables.ts';
import type { Actor } from '../authorization.ts';
import { lifecycleTypeOf, readLifecycle } from '../buildpacks/lifecycle.ts';
import type { Context } from '../context.ts';
import type { Trx } from '../database.ts';
import { requireDocker } from '../docker/images.ts';
import { type Guid, newGuid } from '../guid.ts';
import { newMetadata } from '../metadata.ts';
import { createWebProcess } from '../processes/create.ts';

type NewApp = Omit<Static<typeof CreateApp>, 'relationships'>;

/** Makes an app with its web process, stopped. Throws UniquenessError, UnprocessableEntity. */
export async function createApp(
  trx: Trx,
  context: Context,
  actor: Actor,
  spaceGuid: Guid<'space'>,
  body: NewApp,
  data: { manifest_triggered?: true } = {},
): Promise<App> {
  const guid = newGuid<'app'>();
  const variables = body.environment_variables ?? {};
  checkVariables(variables);
  const type = lifecycleTypeOf(body.lifecycle);
  await requireDocker(trx, type);
  const none = { lifecycle: type, buildpacks: [], stack: context.defaultStack };
  const lifecycle = await readLifecycle(trx, body.lifecycle, none);
  await insertApp(trx, {
    guid,
    name: body.name,
    space_guid: spaceGuid,
    state: 'STOPPED',
    ...lifecycle,
    ...sealVariables(context.sealer, guid, variables),
    droplet_guid: null,
    ...newMetadata(body.metadata),
  });
  const app = await lockApp(trx, guid);
  await createWebProcess(trx, context, app, actor, data);
  await recordAppEvent(trx, 'audit.app.create', actor, app, { ...data, request: body });
  return app;
}
