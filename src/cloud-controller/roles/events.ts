import type { EventData } from '../audit-events/catalogue.ts';
import { type AuditEvent, auditEvent } from '../audit-events/event.ts';
import type { Actor } from '../authorization.ts';
import type { NamedUser } from '../users/names.ts';
import type { Role } from './store.ts';

type RoleEvent<Verb extends 'add' | 'remove'> = `audit.user.${Role['type']}_${Verb}`;

/** That a user was given a role, or that it was taken from them. */
export function roleEvent<Verb extends 'add' | 'remove'>(
  actor: Actor,
  verb: Verb,
  { type, owner_guid: organizationGuid, space_guid: spaceGuid }: Pick<Role, 'type' | 'owner_guid' | 'space_guid'>,
  user: NamedUser,
  data: EventData<RoleEvent<Verb>>,
): AuditEvent {
  return auditEvent<RoleEvent<Verb>>(`audit.user.${type}_${verb}`, actor, user, data, { organizationGuid, spaceGuid });
}
