import type { EventData } from '../audit-events/catalogue.ts';
import { type AuditEvent, auditEvent } from '../audit-events/event.ts';
import type { Actor } from '../authorization.ts';
import type { NamedUser } from './names.ts';

/** What happened to a user, for the audit trail. */
export function userEvent<Type extends `audit.user.${'create' | 'update' | 'delete'}`>(
  type: Type,
  actor: Actor,
  user: NamedUser,
  data: EventData<Type>,
): AuditEvent {
  return auditEvent(type, actor, user, data);
}
