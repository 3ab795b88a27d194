import type { EventData, EventsOf } from '../audit-events/catalogue.ts';
import { type AuditEvent, auditEvent } from '../audit-events/event.ts';
import type { Actor } from '../authorization.ts';
import type { Buildpack } from './store.ts';

/** What happened to a buildpack, for the audit trail. */
export function buildpackEvent<Type extends EventsOf<'audit.buildpack'>>(
  type: Type,
  actor: Actor,
  buildpack: Pick<Buildpack, 'guid' | 'name'>,
  data: EventData<Type>,
): AuditEvent {
  return auditEvent(type, actor, buildpack, data);
}
