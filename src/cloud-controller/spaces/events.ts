import type { EventData, EventsOf } from '../audit-events/catalogue.ts';
import { type AuditEvent, auditEvent } from '../audit-events/event.ts';
import type { Actor } from '../authorization.ts';
import type { Space } from './store.ts';

/** What happened to a space, for the audit trail. */
export function spaceEvent<Type extends EventsOf<'audit.space'>>(
  type: Type,
  actor: Actor,
  space: Pick<Space, 'guid' | 'name' | 'organization_guid'>,
  data: EventData<Type>,
): AuditEvent {
  return auditEvent(type, actor, space, data, { organizationGuid: space.organization_guid, spaceGuid: space.guid });
}
