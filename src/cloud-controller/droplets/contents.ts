import { appEvent } from '../apps/events.ts';
import { recordEvents } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { AfterCommit, Context, GoingApp } from '../context.ts';
import type { Trx } from '../database.ts';
import { release } from '../storage/ledger.ts';

/** What goes with an app has an event of its own, as where it is deleted alone. */
export async function deleteDropletsOfApp(
  context: Context,
  trx: Trx,
  app: GoingApp,
  actor: Actor,
): Promise<AfterCommit> {
  const droplets = await trx.selectFrom('droplets').select('guid').where('app_guid', '=', app.guid).execute();
  await recordEvents(
    trx,
    droplets.map(({ guid }) => appEvent('audit.app.droplet.delete', actor, app, { droplet_guid: guid })),
  );
  return release(
    context,
    trx,
    droplets.map(({ guid }) => ({ kind: 'droplets', key: guid })),
  );
}
