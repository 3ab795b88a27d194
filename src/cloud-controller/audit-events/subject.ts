import { sql } from 'kysely';
import type { Sees } from '../authorization.ts';
import { list, values, whole } from '../listing.ts';
import { placeless } from '../subject.ts';
import { findEvent, type RecordedEvent, selectEvents } from './store.ts';
import { AuditEventView, auditEventView } from './view.ts';

/** An event of a space is for those who see events there; whatever is of an organization also for its auditors. */
function seen({ organizations, spaces }: Sees) {
  if (organizations.everything || spaces.everything) return null;
  return sql<boolean>`(audit_events.space_guid IN ${spaces.guids}
    OR audit_events.organization_guid IN ${organizations.guids})`;
}

/** What it is about may be gone, with the place where that lay. */
export const auditEvent = placeless('Event', (db, guid, asking) => findEvent(db, guid, seen(asking)));

export const auditEvents = list('GET /v3/audit_events', {
  table: 'audit_events',
  from: selectEvents,
  seen,
  filters: {
    types: values('audit_events.type'),
    target_guids: values('audit_events.target_guid'),
    space_guids: values('audit_events.space_guid'),
    organization_guids: values('audit_events.organization_guid'),
    'target_guids[not]': whole((given) => sql<boolean>`audit_events.target_guid <> ALL(${given.split(',')})`),
  },
  view: AuditEventView,
  views: ({ context }, rows: readonly RecordedEvent[]) => rows.map((row) => auditEventView(context.links, row)),
});
