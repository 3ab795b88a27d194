import { sql } from 'kysely';
import type { EventData, EventsOf } from '../audit-events/catalogue.ts';
import { type AuditEvent, auditEvent } from '../audit-events/event.ts';
import { recordEvents } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Trx } from '../database.ts';
import type { Guid } from '../guid.ts';
import { addressOf, findRoutes, type Route, type Target } from './store.ts';

/** What happened to a route, for the audit trail. */
export function routeEvent<Type extends EventsOf<'audit.route'>>(
  type: Type,
  actor: Actor,
  route: Route,
  data: EventData<Type>,
): AuditEvent {
  return auditEvent(type, actor, { guid: route.guid, name: route.host }, data, placeOf(route));
}

type Mapping = 'audit.app.map-route' | 'audit.app.unmap-route';

/** Records that a route leads to an app from now on, or no more. */
export async function recordMapping(
  trx: Trx,
  type: Mapping,
  route: Route,
  target: Target,
  actor: Actor,
): Promise<void> {
  await recordEvents(trx, [mappingEvent(type, route, target, actor)]);
}

function mappingEvent(type: Mapping, route: Route, target: Target, actor: Actor): AuditEvent {
  const data = {
    route_guid: route.guid,
    app_port: target.port,
    process_type: target.processType,
    protocol: target.protocol,
    weight: null,
  };
  return auditEvent(type, actor, { guid: target.appGuid, name: addressOf(route) }, data, placeOf(route));
}

function placeOf({ organization_guid: organizationGuid, space_guid: spaceGuid }: Route) {
  return { organizationGuid, spaceGuid };
}

/** Takes every destination of apps or of routes away. Gives the apps that were led to. */
export async function unmapAll(
  trx: Trx,
  of: 'app_guid' | 'route_guid',
  guids: readonly string[],
  actor: Actor,
): Promise<Guid<'app'>[]> {
  const removed = await trx
    .deleteFrom('route_destinations')
    .where(sql<boolean>`${sql.ref(of)} = ANY(${guids})`)
    .returningAll()
    .execute();
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
