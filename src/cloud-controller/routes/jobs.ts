import { sql } from 'kysely';
import { recordEvents } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context, GoingApp } from '../context.ts';
import type { Trx } from '../database.ts';
import { type Guid, guid } from '../guid.ts';
import type { Job } from '../jobs/store.ts';
import { mappingEvent, routeEvent } from './events.ts';
import { addressOf, deleteDestinations, destinationsOf, findRoutes, lockRoutes } from './store.ts';

/** Job "route.delete". */
export async function deleteRouteJob(context: Context, job: Job): Promise<undefined> {
  await deleteRoute(context, guid<'route'>(job.resourceGuid ?? ''), job.actor);
}

/** Job "space.delete_unmapped_routes". */
export async function deleteUnmappedRoutesJob(context: Context, job: Job): Promise<undefined> {
  const rows = await context.db
    .selectFrom('routes')
    .select('guid')
    .where('space_guid', '=', guid<'space'>(job.resourceGuid ?? ''))
    .where('guid', 'not in', (eb) => eb.selectFrom('route_destinations').select('route_guid'))
    .execute();
  for (const row of rows) {
    await context.db.transaction().execute(async (trx) => {
      await lockRoutes(trx, [row.guid]);
      // It may have come to lead somewhere since it was looked for.
      if ((await destinationsOf(trx, [row.guid])).size === 0) await removeRoutes(trx, [row.guid], job.actor);
    });
  }
}

/** Every route of a space, each in a transaction of its own. */
export async function deleteRoutesOfSpace(context: Context, spaceGuid: Guid<'space'>, actor: Actor): Promise<void> {
  const rows = await context.db.selectFrom('routes').select('guid').where('space_guid', '=', spaceGuid).execute();
  for (const row of rows) await deleteRoute(context, row.guid, actor);
}

/** No route leads to an app that goes. */
export async function unmapApp(_context: Context, trx: Trx, app: GoingApp, actor: Actor): Promise<undefined> {
  await unmapAll(trx, 'app_guid', [app.guid], actor);
}

/** Fine where it is gone already. */
async function deleteRoute(context: Context, guid: Guid<'route'>, actor: Actor): Promise<void> {
  const apps = await context.db.transaction().execute((trx) => removeRoutes(trx, [guid], actor));
  context.changed(apps);
}

/** Gives the apps that the routes led to; announce those after the commit. */
export async function removeRoutes(trx: Trx, guids: readonly Guid<'route'>[], actor: Actor): Promise<Guid<'app'>[]> {
  const routes = await lockRoutes(trx, guids);
  const apps = await unmapAll(trx, 'route_guid', guids, actor);
  const deleted = await trx.deleteFrom('routes').where(sql<boolean>`guid = ANY(${guids})`).returning('guid').execute();
  const gone = new Set(deleted.map((row) => row.guid));
  await recordEvents(
    trx,
    routes
      .filter((route) => gone.has(route.guid))
      .map((route) =>
        routeEvent('audit.route.delete-request', actor, route, { request: { recursive: true, url: addressOf(route) } }),
      ),
  );
  return apps;
}

/** Takes every destination of apps or of routes away. Gives the apps that were led to. */
async function unmapAll(
  trx: Trx,
  of: 'app_guid' | 'route_guid',
  guids: readonly string[],
  actor: Actor,
): Promise<Guid<'app'>[]> {
  const removed = await deleteDestinations(trx, of, guids);
  const found = await findRoutes(
    trx,
    removed.map((row) => row.route_guid),
  );
  const routes = new Map(found.map((route) => [route.guid, route]));
  await recordEvents(
    trx,
    removed.flatMap(({ app_guid: appGuid, process_type: processType, route_guid: routeGuid, ...target }) => {
      const route = routes.get(routeGuid);
      return route ? [mappingEvent('audit.app.unmap-route', route, { ...target, appGuid, processType }, actor)] : [];
    }),
  );
  return removed.map((row) => row.app_guid);
}
