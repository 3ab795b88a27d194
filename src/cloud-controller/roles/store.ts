import { type Selectable, type SelectQueryBuilder, sql } from 'kysely';
import type { Place, Visible } from '../authorization.ts';
import type { Database, Db, RowColumns } from '../database.ts';
import { narrow, type Page, page } from '../list.ts';
import type { OrganizationRole, SpaceRole } from '../permissions.ts';
import type { Query, QueryRules } from '../query.ts';

/** A role in an organization or in a space: exactly one of the two is set. */
export interface RoleTable extends RowColumns {
  type: OrganizationRole | SpaceRole;
  user_guid: string;
  organization_guid: string | null;
  space_guid: string | null;
}
export type RoleRow = Selectable<RoleTable>;

export const roleQuery = {
  list: true,
  filters: ['types', 'organization_guids', 'space_guids', 'user_guids'],
  include: ['user', 'organization', 'space'],
} as const satisfies QueryRules;

/** Gives a role. Throws PostgreSQL's unique violation `roles_holder` where the user has it already. */
export async function insertRole(
  db: Db,
  role: { type: RoleTable['type']; userGuid: string; organizationGuid?: string; spaceGuid?: string },
): Promise<RoleRow> {
  return db
    .insertInto('roles')
    .values({
      guid: crypto.randomUUID(),
      type: role.type,
      user_guid: role.userGuid,
      organization_guid: role.organizationGuid ?? null,
      space_guid: role.spaceGuid ?? null,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** A role and where it lies. */
export interface PlacedRole extends RoleRow {
  place: Place;
}

export async function findRole(db: Db, guid: string): Promise<PlacedRole | null> {
  const row = await db
    .selectFrom('roles')
    .leftJoin('spaces', 'spaces.guid', 'roles.space_guid')
    .innerJoin('organizations', (join) =>
      join.on(sql<boolean>`organizations.guid = COALESCE(roles.organization_guid, spaces.organization_guid)`),
    )
    .selectAll('roles')
    .select(['organizations.guid as owner_guid', 'organizations.suspended as owner_suspended'])
    .where('roles.guid', '=', guid)
    .executeTakeFirst();
  if (!row) return null;
  const { owner_guid, owner_suspended, ...role } = row;
  const organization = { guid: owner_guid, suspended: owner_suspended };
  return {
    ...role,
    place: { organization, ...(role.space_guid === null ? {} : { space: { guid: role.space_guid } }) },
  };
}

/** Roles in organizations and spaces the caller sees. */
export async function listRoles(db: Db, query: Query, organizations: Visible, spaces: Visible): Promise<Page<RoleRow>> {
  let select: SelectQueryBuilder<Database, 'roles', RoleRow> = narrow(
    db.selectFrom('roles').selectAll('roles'),
    'roles',
    query,
  );
  if (!organizations.everything && !spaces.everything) {
    select = select.where(
      sql<boolean>`(roles.organization_guid IN ${organizations.guids} OR roles.space_guid IN ${spaces.guids})`,
    );
  }
  const columns = {
    types: 'roles.type',
    organization_guids: 'roles.organization_guid',
    space_guids: 'roles.space_guid',
    user_guids: 'roles.user_guid',
  } as const;
  for (const [filter, column] of Object.entries(columns)) {
    const values = query.filters.get(filter);
    if (values) select = select.where(sql<boolean>`${sql.ref(column)} = ANY(${values})`);
  }
  return page(db, select, 'roles', query);
}

/** Has the user any role in this organization itself? */
export async function isInOrganization(db: Db, userGuid: string, organizationGuid: string): Promise<boolean> {
  const row = await db
    .selectFrom('roles')
    .select('guid')
    .where('user_guid', '=', userGuid)
    .where('organization_guid', '=', organizationGuid)
    .executeTakeFirst();
  return row !== undefined;
}

/** Has the user a role in any space of this organization? */
export async function isInSpaceOf(db: Db, userGuid: string, organizationGuid: string): Promise<boolean> {
  const row = await db
    .selectFrom('roles')
    .innerJoin('spaces', 'spaces.guid', 'roles.space_guid')
    .select('roles.guid')
    .where('roles.user_guid', '=', userGuid)
    .where('spaces.organization_guid', '=', organizationGuid)
    .executeTakeFirst();
  return row !== undefined;
}
