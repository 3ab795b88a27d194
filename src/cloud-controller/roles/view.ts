import { type Static, Type } from 'typebox';
import { IDENTITY, identityView, Link, type Links, ToOneView, toOne } from '../view.ts';
import type { Role } from './store.ts';

export const RoleView = Type.Object(
  {
    ...IDENTITY,
    type: Type.String(),
    relationships: Type.Object({ user: ToOneView, organization: ToOneView, space: ToOneView }),
    links: Type.Object({
      self: Link,
      user: Link,
      organization: Type.Optional(Link),
      space: Type.Optional(Link),
    }),
  },
  { title: 'Role' },
);

export function roleView(links: Links, role: Role): Static<typeof RoleView> {
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
