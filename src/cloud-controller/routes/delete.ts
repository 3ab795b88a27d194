import { messageOf } from '../../kit/errors.ts';
import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import type { Job } from '../jobs/store.ts';
import { addressOf, findRoute } from './store.ts';

/** Tells the apps side that routes changed. A failure costs time only: Diego is brought up to date by reconciliation too. */
export async function announceRoutes(context: Context, appGuids: readonly string[]): Promise<void> {
  if (appGuids.length === 0) return;
  try {
    await context.hooks.routesChanged([...new Set(appGuids)]);
  } catch (error) {
    context.log.warn('routes could not be announced now', { error: messageOf(error) });
  }
}

/** Job "route.delete". */
export async function deleteRouteJob(context: Context, job: Job): Promise<undefined> {
  await deleteRoute(context, job.resourceGuid ?? '', job.actor);
}

/** Job "space.delete_unmapped_routes". */
export async function deleteUnmappedRoutesJob(context: Context, job: Job): Promise<undefined> {
  const rows = await context.db
    .selectFrom('routes')
    .select('guid')
    .where('space_guid', '=', job.resourceGuid ?? '')
    .where('guid', 'not in', (eb) => eb.selectFrom('route_destinations').select('route_guid'))
    .execute();
  for (const row of rows) await deleteRoute(context, row.guid, job.actor);
}

export async function deleteRoutesOfSpace(context: Context, spaceGuid: string, actor: Actor): Promise<void> {
  await deleteRoutes(context, { spaceGuid }, actor);
}

/** Every route of a space or of a domain. */
export async function deleteRoutes(
  context: Context,
  of: { spaceGuid: string } | { domainGuid: string },
  actor: Actor,
): Promise<void> {
  const select = context.db.selectFrom('routes').select('guid');
  const rows = await ('spaceGuid' in of
    ? select.where('space_guid', '=', of.spaceGuid)
    : select.where('domain_guid', '=', of.domainGuid)
  ).execute();
  for (const row of rows) await deleteRoute(context, row.guid, actor);
}

/** Fine where it is gone already. */
export async function deleteRoute(context: Context, guid: string, actor: Actor): Promise<void> {
  const apps = await context.db.transaction().execute(async (trx) => {
    const route = await findRoute(trx, guid);
    if (!route) return [];
    const destinations = await trx
      .deleteFrom('route_destinations')
      .where('route_guid', '=', guid)
      .returning('app_guid')
      .execute();
    await trx.deleteFrom('routes').where('guid', '=', guid).execute();
    await recordEvent(trx, {
      type: 'audit.route.delete-request',
      actor,
      target: { guid, type: 'route', name: route.host },
      organizationGuid: route.organization_guid,
      spaceGuid: route.space_guid,
      data: { request: { recursive: true, url: addressOf(route) } },
    });
    return destinations.map((destination) => destination.app_guid);
  });
  await announceRoutes(context, apps);
}
