import type { Actor } from '../authorization.ts';
import type { EventData, EventType } from './catalogue.ts';

declare const CATALOGUED: unique symbol;

/** Something that happened to a resource. `auditEvent` alone makes one, so that its data are what the catalogue says. */
export type AuditEvent = Said & { readonly [CATALOGUED]: true };

interface Said {
  readonly type: EventType;
  readonly actor: Actor;
  readonly target: { guid: string; name: string };
  readonly organizationGuid: string | null;
  readonly spaceGuid: string | null;
  /** Kept without secrets. */
  readonly data: Record<string, unknown>;
}

interface Place {
  organizationGuid?: string | null;
  spaceGuid?: string | null;
}

/** An event of a kind, to be recorded; without a place where it lies in none. */
export function auditEvent<Type extends EventType>(
  type: Type,
  actor: Actor,
  { guid, name }: { guid: string; name: string },
  data: EventData<Type>,
  { organizationGuid = null, spaceGuid = null }: Place = {},
): AuditEvent {
  const said: Said = { type, actor, target: { guid, name }, organizationGuid, spaceGuid, data };
  // The mark says that the compiler has held the data to the kind.
  return said as AuditEvent;
}
