import type { EventData, EventsOf } from '../audit-events/catalogue.ts';
import { type AuditEvent, auditEvent } from '../audit-events/event.ts';
import type { Actor } from '../authorization.ts';

/** What happened to a quota, for the audit trail. */
export function organizationQuotaEvent<Type extends EventsOf<'audit.organization_quota'>>(
  type: Type,
  actor: Actor,
  quota: { guid: string; name: string },
  data: EventData<Type>,
): AuditEvent {
  return auditEvent(type, actor, quota, data);
}
