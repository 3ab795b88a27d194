import { sql } from 'kysely';
import { among, list, values } from '../listing.ts';
import { organizations } from '../organizations/subject.ts';
import { ORGANIZATION_ROLES, SPACE_ROLES } from '../role-names.ts';
import { spaces } from '../spaces/subject.ts';
import { subject } from '../subject.ts';
import { users } from '../users/subject.ts';
import { findRole, placeOf, type Role, selectRoles } from './store.ts';
import { RoleView, roleView } from './view.ts';

export const role = subject('Role', { find: findRole, place: placeOf });

export const roles = list('GET /v3/roles', {
  table: 'roles',
  from: selectRoles,
  seen: (sees) =>
    sees.organizations.everything || sees.spaces.everything
      ? null
      : sql<boolean>`(roles.organization_guid IN ${sees.organizations.guids} OR roles.space_guid IN ${sees.spaces.guids})`,
  filters: {
    types: among('roles.type', [...ORGANIZATION_ROLES, ...SPACE_ROLES]),
    organization_guids: values('roles.organization_guid'),
    space_guids: values('roles.space_guid'),
    user_guids: values('roles.user_guid'),
  },
  include: {
    user: [[users, (row) => row.user_guid]],
    organization: [[organizations, (row) => row.organization_guid]],
    space: [[spaces, (row) => row.space_guid]],
  },
  view: RoleView,
  views: ({ context }, rows: readonly Role[]) => rows.map((row) => roleView(context.links, row)),
});
