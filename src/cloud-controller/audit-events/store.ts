import type { Generated } from 'kysely';
import type { Actor } from '../authorization.ts';
import type { Db, RowColumns } from '../database.ts';
import { jsonb } from '../metadata.ts';
import { redact } from './redact.ts';

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

/** Something that happened to a resource, in Cloud Foundry's words ("audit.organization.create"). */
export interface AuditEvent {
  type: string;
  actor: Actor;
  target: { guid: string; type: string; name: string };
  organizationGuid: string | null;
  spaceGuid?: string | null;
  /** Kept without secrets; usually `{ request: … }`. */
  data?: Record<string, unknown>;
}

/** Records an event. Pass the transaction of the change itself, so that neither is without the other (AUD-01). */
export async function recordEvent(db: Db, event: AuditEvent): Promise<void> {
  await db
    .insertInto('audit_events')
    .values({
      guid: crypto.randomUUID(),
      type: event.type,
      actor_guid: event.actor.guid,
      actor_type: event.actor.type,
      actor_name: event.actor.name,
      target_guid: event.target.guid,
      target_type: event.target.type,
      target_name: event.target.name,
      data: jsonb(redact(event.data ?? {})),
      organization_guid: event.organizationGuid,
      space_guid: event.spaceGuid ?? null,
    })
    .execute();
}
