import { identityView, type Links, toOne } from '../view.ts';
import type { RoleRow } from './store.ts';

export function roleView(links: Links, role: RoleRow): Record<string, unknown> {
  const { organization_guid: organization, space_guid: space } = role;
  return {
    ...identityView(role),
    type: role.type,
    relationships: { user: toOne(role.user_guid), organization: toOne(organization), space: toOne(space) },
    links: {
      self: links.to(`/v3/roles/${role.guid}`),
      user: links.to(`/v3/users/${encodeURIComponent(role.user_guid)}`),
      ...(organization === null ? {} : { organization: links.to(`/v3/organizations/${organization}`) }),
      ...(space === null ? {} : { space: links.to(`/v3/spaces/${space}`) }),
    },
  };
}
