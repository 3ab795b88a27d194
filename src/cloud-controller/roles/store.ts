import { type Selectable, sql } from 'kysely';
import type { Place } from '../authorization.ts';
import type { Db, RowColumns, Trx } from '../database.ts';
import type { Guid } from '../guid.ts';
import type { OrganizationRole, SpaceRole } from '../role-names.ts';

declare module '../database.ts' {
  interface Database {
    roles: RoleTable;
  }
}

/** A role in an organization or in a space: exactly one of the two is set. */
export interface RoleTable extends RowColumns {
  type: OrganizationRole | SpaceRole;
  user_guid: string;
  organization_guid: Guid<'organization'> | null;
  space_guid: Guid<'space'> | null;
}

/** A role and what is needed of the organization it lies in, be it in a space, to decide who may do what with it. */
export interface Role extends Selectable<RoleTable> {
  owner_guid: Guid<'organization'>;
  owner_suspended: boolean;
}

/** Where a role lies, for the permission table. */
export function placeOf({ owner_guid: guid, owner_suspended: suspended, space_guid: space }: Role): Place {
  return { organization: { guid, suspended }, ...(space === null ? {} : { space: { guid: space } }) };
}

export function selectRoles(db: Db) {
  return db
    .selectFrom('roles')
    .leftJoin('spaces', 'spaces.guid', 'roles.space_guid')
    .innerJoin('organizations', (join) =>
      join.on(sql<boolean>`organizations.guid = COALESCE(roles.organization_guid, spaces.organization_guid)`),
    )
    .selectAll('roles')
    .select(['organizations.guid as owner_guid', 'organizations.suspended as owner_suspended']);
}

export async function findRole(db: Db, guid: string): Promise<Role | null> {
  return (await selectRoles(db).where('roles.guid', '=', guid).executeTakeFirst()) ?? null;
}

/** All roles of a user. */
export async function rolesOf(db: Db, userGuid: string): Promise<Role[]> {
  return selectRoles(db).where('roles.user_guid', '=', userGuid).orderBy('roles.id').execute();
}

/** Gives a role. Throws PostgreSQL's unique violation `roles_holder` where the user has it already. */
export async function insertRole(
  trx: Trx,
  role: {
    type: RoleTable['type'];
    userGuid: string;
    organizationGuid?: Guid<'organization'>;
    spaceGuid?: Guid<'space'>;
  },
): Promise<Selectable<RoleTable>> {
  return trx
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

/** False where it was gone already. */
export async function deleteRole(trx: Trx, guid: string): Promise<boolean> {
  const deleted = await trx.deleteFrom('roles').where('guid', '=', guid).returning('guid').executeTakeFirst();
  return deleted !== undefined;
}

/** Has the user any role in this organization itself? */
export async function isInOrganization(
  db: Db,
  userGuid: string,
  organizationGuid: Guid<'organization'>,
): Promise<boolean> {
  const row = await db
    .selectFrom('roles')
    .select('guid')
    .where('user_guid', '=', userGuid)
    .where('organization_guid', '=', organizationGuid)
    .executeTakeFirst();
  return row !== undefined;
}

/** Has the user a role in any space of this organization? */
export async function isInSpaceOf(db: Db, userGuid: string, organizationGuid: Guid<'organization'>): Promise<boolean> {
  const row = await db
    .selectFrom('roles')
    .innerJoin('spaces', 'spaces.guid', 'roles.space_guid')
    .select('roles.guid')
    .where('roles.user_guid', '=', userGuid)
    .where('spaces.organization_guid', '=', organizationGuid)
    .executeTakeFirst();
  return row !== undefined;
}
