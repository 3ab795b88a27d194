import type { EventData, EventsOf, Observation } from '../audit-events/catalogue.ts';
import { type AuditEvent, auditEvent } from '../audit-events/event.ts';
import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Db, Trx } from '../database.ts';
import type { App } from './store.ts';

/** What an event says of an app. */
export type NamedApp = Pick<App, 'guid' | 'name' | 'organization_guid' | 'space_guid'>;

/** Who acts when the platform does so by itself. */
export const SYSTEM_ACTOR: Actor = { guid: 'system', type: 'system', name: 'system' };

type AppEvent = EventsOf<'audit.app'> | 'app.crash';

/** Records what happened to an app, in the transaction of the change. */
export async function recordAppEvent<Type extends AppEvent>(
  trx: Trx,
  type: Type,
  actor: Actor,
  app: NamedApp,
  data: EventData<Type>,
): Promise<void> {
  await recordEvent(trx, appEvent(type, actor, app, data));
}

/** The same event, not recorded yet: for several that are written at once. */
export function appEvent<Type extends AppEvent>(
  type: Type,
  actor: Actor,
  app: NamedApp,
  data: EventData<Type>,
): AuditEvent {
  return auditEvent(type, actor, app, data, { organizationGuid: app.organization_guid, spaceGuid: app.space_guid });
}

/** Records what belongs to no change; before it is shown or allowed, so that nothing is without its event. */
export async function recordObservation<Type extends Observation>(
  db: Db,
  type: Type,
  actor: Actor,
  app: NamedApp,
  data: EventData<Type>,
): Promise<void> {
  await db.transaction().execute((trx) => recordAppEvent(trx, type, actor, app, data));
}
