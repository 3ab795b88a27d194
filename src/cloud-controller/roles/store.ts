import type { Selectable } from 'kysely';
import type { Db, RowColumns } from '../database.ts';
import type { OrganizationRole, SpaceRole } from '../permissions.ts';

export interface UserTable extends RowColumns {
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

/** A role in an organization or in a space: exactly one of the two is set. */
export interface RoleTable extends RowColumns {
  type: OrganizationRole | SpaceRole;
  user_guid: string;
  organization_guid: string | null;
  space_guid: string | null;
}

/** Gives a role. Throws PostgreSQL's unique violation `roles_holder` where the user has it already. */
export async function insertRole(
  db: Db,
  role: { type: RoleTable['type']; userGuid: string; organizationGuid?: string; spaceGuid?: string },
): Promise<Selectable<RoleTable>> {
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
