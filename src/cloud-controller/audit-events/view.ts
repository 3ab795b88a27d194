import { type Static, Type } from 'typebox';
import { IDENTITY, identityView, Link, type Links } from '../view.ts';
import type { RecordedEvent } from './store.ts';

const Named = Type.Object({ guid: Type.String(), type: Type.String(), name: Type.String() });
const ReferenceOrNone = Type.Union([Type.Object({ guid: Type.String() }), Type.Null()]);

export const AuditEventView = Type.Object(
  {
    ...IDENTITY,
    type: Type.String(),
    actor: Named,
    target: Named,
    data: Type.Record(Type.String(), Type.Unknown()),
    space: ReferenceOrNone,
    organization: ReferenceOrNone,
    links: Type.Object({ self: Link }),
  },
  { title: 'AuditEvent' },
);

export function auditEventView(links: Links, event: RecordedEvent): Static<typeof AuditEventView> {
  return {
    ...identityView(event),
    type: event.type,
    actor: { guid: event.actor_guid, type: event.actor_type, name: event.actor_name },
    target: { guid: event.target_guid, type: event.target_type, name: event.target_name },
    data: event.data,
    space: event.space_guid === null ? null : { guid: event.space_guid },
    organization: event.organization_guid === null ? null : { guid: event.organization_guid },
    links: { self: links.to(`/v3/audit_events/${event.guid}`) },
  };
}
