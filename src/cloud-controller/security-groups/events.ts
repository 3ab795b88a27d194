import type { EventData, EventsOf } from '../audit-events/catalogue.ts';
import { type AuditEvent, auditEvent } from '../audit-events/event.ts';
import type { Actor } from '../authorization.ts';
import type { SecurityGroup } from './store.ts';

/** What happened to a security group, for the audit trail. */
export function securityGroupEvent<Type extends EventsOf<'audit.security_group'>>(
  type: Type,
  actor: Actor,
  group: Pick<SecurityGroup, 'guid' | 'name'>,
  data: EventData<Type>,
): AuditEvent {
  return auditEvent(type, actor, group, data);
}
