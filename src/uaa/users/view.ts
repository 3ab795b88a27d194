import type { GroupOfUser } from '../groups/store.ts';
import { SCIM_SCHEMAS } from '../scim/view.ts';
import type { User } from './store.ts';

/** A user as SCIM 1.1 shows it, with the extensions of UAA. No password, no hash. */
export function userView(user: User, groups: readonly GroupOfUser[]) {
  return {
    id: user.id,
    externalId: user.external_id ?? undefined,
    meta: {
      version: user.version,
      created: user.created_at.toISOString(),
      lastModified: user.updated_at.toISOString(),
    },
    userName: user.user_name,
    name: { familyName: user.family_name ?? undefined, givenName: user.given_name ?? undefined },
    emails: [{ value: user.email, primary: true }],
    phoneNumbers: user.phone_number === null ? [] : [{ value: user.phone_number }],
    groups: groups.map((group) => ({
      value: group.id,
      display: group.displayName,
      type: group.direct ? 'DIRECT' : 'INDIRECT',
    })),
    approvals: [],
    active: user.active,
    verified: user.verified,
    origin: user.origin,
    zoneId: 'uaa',
    passwordLastModified: user.password_changed_at?.toISOString(),
    previousLogonTime: user.previous_logon_at?.getTime(),
    lastLogonTime: user.last_logon_at?.getTime(),
    schemas: SCIM_SCHEMAS,
  };
}

export type UserView = ReturnType<typeof userView>;
