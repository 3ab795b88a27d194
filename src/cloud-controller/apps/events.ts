import { type AuditEvent, recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Db } from '../database.ts';
import type { App } from './store.ts';

/** Who acts when the platform does so by itself. */
export const SYSTEM_ACTOR: Actor = { guid: 'system', type: 'system', name: 'system' };

/** Records "audit.app.…" (or another type) on an app; in the transaction of the change. */
export async function recordAppEvent(
  db: Db,
  type: string,
  actor: Actor,
  app: App,
  data: Record<string, unknown> = {},
  target: AuditEvent['target'] = { guid: app.guid, type: 'app', name: app.name },
): Promise<void> {
  await recordEvent(db, {
    type,
    actor,
    target,
    organizationGuid: app.organization_guid,
    spaceGuid: app.space_guid,
    data,
  });
}
