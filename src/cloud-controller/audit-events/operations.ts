import { type Selectable, type SelectQueryBuilder, sql } from 'kysely';
import type { Visible } from '../authorization.ts';
import type { Database } from '../database.ts';
import { notFound } from '../errors.ts';
import { listView, narrow, page } from '../list.ts';
import { ok, operation } from '../operation.ts';
import { type Links, timestamp } from '../view.ts';
import type { AuditEventTable } from './store.ts';

type Row = Selectable<AuditEventTable>;
type Select = SelectQueryBuilder<Database, 'audit_events', Row>;

const COLUMNS = {
  types: 'type',
  target_guids: 'target_guid',
  space_guids: 'space_guid',
  organization_guids: 'organization_guid',
} as const;

export const auditEventOperations = [
  operation({
    id: 'GET /v3/audit_events',
    query: { list: true, filters: Object.keys(COLUMNS), values: ['target_guids[not]'] },
    async run(call) {
      const { db, links } = call.context;
      let select: Select = narrow(db.selectFrom('audit_events').selectAll('audit_events'), 'audit_events', call.query);
      select = visibleOnly(select, call.visibleOrganizations(), call.visibleSpaces());
      for (const [filter, column] of Object.entries(COLUMNS)) {
        const values = call.query.filters.get(filter);
        if (values) select = select.where(sql<boolean>`${sql.ref(`audit_events.${column}`)} = ANY(${values})`);
      }
      const without = call.query.values.get('target_guids[not]');
      if (without !== undefined) select = select.where(sql<boolean>`target_guid <> ALL(${without.split(',')})`);
      const found = await page(db, select, 'audit_events', call.query);
      return ok(listView(links, '/v3/audit_events', call.query, found, (row) => eventView(links, row)));
    },
  }),

  operation({
    id: 'GET /v3/audit_events/:guid',
    async run(call) {
      const { db, links } = call.context;
      const select: Select = db
        .selectFrom('audit_events')
        .selectAll('audit_events')
        .where('guid', '=', call.params.guid);
      const row = await visibleOnly(select, call.visibleOrganizations(), call.visibleSpaces()).executeTakeFirst();
      if (!row) throw notFound('Event');
      return ok(eventView(links, row));
    },
  }),
];

/** An event of a space is for those who see events there; one of an organization alone for its managers and auditors. */
function visibleOnly(select: Select, organizations: Visible, spaces: Visible): Select {
  if (organizations.everything || spaces.everything) return select;
  return select.where(
    sql<boolean>`(audit_events.space_guid IN ${spaces.guids}
      OR (audit_events.space_guid IS NULL AND audit_events.organization_guid IN ${organizations.guids}))`,
  );
}

function eventView(links: Links, event: Row): Record<string, unknown> {
  return {
    guid: event.guid,
    created_at: timestamp(event.created_at),
    updated_at: timestamp(event.updated_at),
    type: event.type,
    actor: { guid: event.actor_guid, type: event.actor_type, name: event.actor_name },
    target: { guid: event.target_guid, type: event.target_type, name: event.target_name },
    data: event.data,
    space: event.space_guid === null ? null : { guid: event.space_guid },
    organization: event.organization_guid === null ? null : { guid: event.organization_guid },
    links: { self: links.to(`/v3/audit_events/${event.guid}`) },
  };
}
