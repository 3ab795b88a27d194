import type { EventData, EventsOf } from '../audit-events/catalogue.ts';
import { type AuditEvent, auditEvent } from '../audit-events/event.ts';
import { recordEvents } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Trx } from '../database.ts';
import { addressOf, type Route, type Target } from './store.ts';

/** What happened to a route, for the audit trail. */
export function routeEvent<Type extends EventsOf<'audit.route'>>(
  type: Type,
  actor: Actor,
  route: Route,
  data: EventData<Type>,
): AuditEvent {
  return auditEvent(type, actor, { guid: route.guid, name: route.host }, data, eventPlace(route));
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

/** The same event, not recorded yet. */
export function mappingEvent(type: Mapping, route: Route, target: Target, actor: Actor): AuditEvent {
  const data = {
    route_guid: route.guid,
    app_port: target.port,
    process_type: target.processType,
    protocol: target.protocol,
    weight: null,
  };
  return auditEvent(type, actor, { guid: target.appGuid, name: addressOf(route) }, data, eventPlace(route));
}

function eventPlace({ organization_guid: organizationGuid, space_guid: spaceGuid }: Route) {
  return { organizationGuid, spaceGuid };
}
