import type { EventData, EventsOf } from '../audit-events/catalogue.ts';
import { type AuditEvent, auditEvent } from '../audit-events/event.ts';
import type { Actor } from '../authorization.ts';
import type { Guid } from '../guid.ts';

/** What happened to a domain, for the audit trail. */
export function domainEvent<Type extends EventsOf<'audit.domain'>>(
  type: Type,
  actor: Actor,
  domain: { guid: Guid<'domain'>; name: string; organization_guid: Guid<'organization'> | null },
  data: EventData<Type>,
): AuditEvent {
  return auditEvent(type, actor, domain, data, { organizationGuid: domain.organization_guid });
}
