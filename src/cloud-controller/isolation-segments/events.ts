import type { EventData, EventsOf } from '../audit-events/catalogue.ts';
import { type AuditEvent, auditEvent } from '../audit-events/event.ts';
import type { Actor } from '../authorization.ts';
import type { Guid } from '../guid.ts';
import type { IsolationSegment } from './store.ts';

/** What happened to a segment, for the audit trail; of an organization, where it is entitled or no longer. */
export function segmentEvent<Type extends EventsOf<'audit.isolation_segment'>>(
  type: Type,
  actor: Actor,
  segment: Pick<IsolationSegment, 'guid' | 'name'>,
  data: EventData<Type>,
  organizationGuid: Guid<'organization'> | null = null,
): AuditEvent {
  return auditEvent(type, actor, segment, data, { organizationGuid });
}
