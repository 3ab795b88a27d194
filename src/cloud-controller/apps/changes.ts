import type { Static } from 'typebox';
import type { Actor } from '../authorization.ts';
import { readLifecycle } from '../buildpacks/lifecycle.ts';
import type { Context } from '../context.ts';
import type { Trx } from '../database.ts';
import type { Guid } from '../guid.ts';
import { changedMetadata } from '../metadata.ts';
import { recordAppEvent } from './events.ts';
import { logLine } from './log-lines.ts';
import type { UpdateApp, UpdateVariables } from './schema.ts';
import type { Sealed } from './sealed-variables.ts';
import { type App, lockApp, writeApp } from './store.ts';
import { mergeVariables, sealedVariables } from './variables.ts';

/** Changes name, lifecycle or metadata. */
export async function updateApp(
  trx: Trx,
  actor: Actor,
  guid: Guid<'app'>,
  body: Static<typeof UpdateApp>,
  data: { manifest_triggered?: true } = {},
): Promise<App> {
  const app = await lockApp(trx, guid);
  const lifecycle = body.lifecycle ? await readLifecycle(trx, body.lifecycle, app) : {};
  await writeApp(trx, guid, { name: body.name, ...lifecycle, ...changedMetadata(app, body.metadata) });
  await recordAppEvent(trx, 'audit.app.update', actor, app, { ...data, request: body });
  return lockApp(trx, guid);
}

/** Sets and removes variables; gives all that the app has then, as they lie. */
export async function updateVariables(
  context: Context,
  actor: Actor,
  guid: Guid<'app'>,
  body: Static<typeof UpdateVariables>,
): Promise<Sealed> {
  const { app, sealed } = await context.db.transaction().execute(async (trx) => {
    const app = await lockApp(trx, guid);
    await mergeVariables(trx, context.sealer, app, body.var);
    await recordAppEvent(trx, 'audit.app.update', actor, app, { request: { environment_variables: {} } });
    return { app, sealed: await sealedVariables(trx, guid) };
  });
  logLine(context, app, `Updated app with guid ${guid} (environment_variables)`);
  return sealed;
}
