import type { EventData, EventsOf } from '../audit-events/catalogue.ts';
import { type AuditEvent, auditEvent } from '../audit-events/event.ts';
import type { Actor } from '../authorization.ts';
import type { SpaceQuota } from './store.ts';

/** What happened to a quota, for the audit trail. */
export function spaceQuotaEvent<Type extends EventsOf<'audit.space_quota'>>(
  type: Type,
  actor: Actor,
  quota: Pick<SpaceQuota, 'guid' | 'name' | 'organization_guid'>,
  data: EventData<Type>,
): AuditEvent {
  return auditEvent(type, actor, quota, data, { organizationGuid: quota.organization_guid });
}
