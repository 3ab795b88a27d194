import { appEvent } from '../apps/events.ts';
import { recordEvents } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { AfterCommit, Context, GoingApp } from '../context.ts';
import type { Trx } from '../database.ts';
import { release } from '../storage/ledger.ts';

/** What goes with an app has an event of its own, as where it is deleted alone. */
export async function deletePackagesOfApp(
  context: Context,
  trx: Trx,
  app: GoingApp,
  actor: Actor,
): Promise<AfterCommit> {
  const packages = await trx.selectFrom('packages').select('guid').where('app_guid', '=', app.guid).execute();
  await recordEvents(
    trx,
    packages.map(({ guid }) => appEvent('audit.app.package.delete', actor, app, { package_guid: guid })),
  );
  return release(
    context,
    trx,
    packages.map(({ guid }) => ({ kind: 'packages', key: guid })),
  );
}
