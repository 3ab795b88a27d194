import { type Generated, type RawBuilder, type Selectable, sql } from 'kysely';
import type { Db, RowColumns, Trx } from '../database.ts';
import { jsonb } from '../metadata.ts';
import { bounded } from './bounded.ts';
import { EVENTS } from './catalogue.ts';
import { checkRecorded } from './check.ts';
import type { AuditEvent } from './event.ts';
import { redact } from './redact.ts';

declare module '../database.ts' {
  interface Database {
    audit_events: AuditEventTable;
  }
}

export interface AuditEventTable extends RowColumns {
  type: string;
  actor_guid: string;
  actor_type: string;
  actor_name: string;
  target_guid: string;
  target_type: string;
  target_name: string;
  data: Record<string, unknown>;
  space_guid: string | null;
  organization_guid: string | null;
  occurred_at: Generated<Date>;
}

/** An event as it was kept. */
export type RecordedEvent = Selectable<AuditEventTable>;

/** Records an event, in the transaction of the change itself: neither is without the other (AUD-01). */
export async function recordEvent(trx: Trx, event: AuditEvent): Promise<void> {
  await recordEvents(trx, [event]);
}

/** Of one statement's parameters; PostgreSQL takes 65,535. */
const EVENTS_A_STATEMENT = 1000;

/** Records what one change did to many, in this order. */
export async function recordEvents(trx: Trx, events: readonly AuditEvent[]): Promise<void> {
  for (const event of events) checkRecorded(trx, event);
  for (let start = 0; start < events.length; start += EVENTS_A_STATEMENT) {
    const some = events.slice(start, start + EVENTS_A_STATEMENT);
    await trx.insertInto('audit_events').values(some.map(rowOf)).execute();
  }
}

export function selectEvents(db: Db) {
  return db.selectFrom('audit_events').selectAll('audit_events');
}

/** Null too for an event that `condition` leaves out. */
export async function findEvent(
  db: Db,
  guid: string,
  condition: RawBuilder<boolean> | null,
): Promise<RecordedEvent | null> {
  const select = selectEvents(db).where('audit_events.guid', '=', guid);
  return (await select.where(condition ?? sql<boolean>`true`).executeTakeFirst()) ?? null;
}

function rowOf(event: AuditEvent) {
  return {
    guid: crypto.randomUUID(),
    type: event.type,
    actor_guid: event.actor.guid,
    actor_type: event.actor.type,
    actor_name: event.actor.name,
    target_guid: event.target.guid,
    target_type: EVENTS[event.type].target,
    target_name: event.target.name,
    data: jsonb(bounded(redact(event.data))),
    organization_guid: event.organizationGuid,
    space_guid: event.spaceGuid,
  };
}
