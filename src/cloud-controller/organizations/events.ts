import type { EventData, EventsOf } from '../audit-events/catalogue.ts';
import { type AuditEvent, auditEvent } from '../audit-events/event.ts';
import type { Actor } from '../authorization.ts';
import type { Organization } from './store.ts';

/** What happened to an organization, for the audit trail. */
export function organizationEvent<Type extends EventsOf<'audit.organization'>>(
  type: Type,
  actor: Actor,
  organization: Pick<Organization, 'guid' | 'name'>,
  data: EventData<Type>,
): AuditEvent {
  return auditEvent(type, actor, organization, data, { organizationGuid: organization.guid });
}
