import type { Static } from 'typebox';
import { recordEvent } from '../audit-events/store.ts';
import type { Context } from '../context.ts';
import { type CfError, invalidOrganization, invalidSpace, isUniqueViolation, unprocessable } from '../errors.ts';
import { requireFeature } from '../feature-flags/store.ts';
import type { Call } from '../operation.ts';
import { findOrganization, type Organization } from '../organizations/store.ts';
import { ORGANIZATION_ROLES, type OrganizationRole, type SpaceRole } from '../permissions.ts';
import { findSpace, placeOf, type Space } from '../spaces/store.ts';
import { insertUser } from '../users/store.ts';
import type { CreateRole } from './schema.ts';
import { insertRole, isInOrganization, type RoleRow } from './store.ts';

type Body = Static<typeof CreateRole>;
type CreateCall = Call<'POST /v3/roles', Body>;

const NOT_IN_ORGANIZATION =
  "Users cannot be assigned roles in a space if they do not have a role in that space's organization.";

/** Gives a role in an organization or a space, by the user's guid or name. */
export async function createRole(call: CreateCall): Promise<RoleRow> {
  const { type, relationships } = call.body;
  const { organization, space } = relationships;
  const user = relationships.user.data;
  if ((user.guid === undefined) === (user.username === undefined)) {
    throw unprocessable('Relationships user must name either a guid or a username');
  }
  if (user.origin !== undefined && user.username === undefined) {
    throw unprocessable('Relationships user cannot have an origin without a username');
  }
  if (isOrganizationRole(type)) {
    if (!organization || space)
      throw unprocessable(`Relationships of a role of type '${type}' must name an organization`);
    return inOrganization(call, type, organization.data.guid);
  }
  if (!space || organization) throw unprocessable(`Relationships of a role of type '${type}' must name a space`);
  return inSpace(call, type, space.data.guid);
}

function isOrganizationRole(type: OrganizationRole | SpaceRole): type is OrganizationRole {
  return ORGANIZATION_ROLES.some((role) => role === type);
}

async function inOrganization(call: CreateCall, type: OrganizationRole, guid: string): Promise<RoleRow> {
  const { context } = call;
  const organization = await findOrganization(context.db, guid);
  if (!organization) throw invalidOrganization();
  await call.authorize({ organization }, invalidOrganization());
  const user = await findUser(context, call.body, (name, origin) =>
    unprocessable(
      `No user exists with the username '${name}'${origin === undefined ? '' : ` and origin '${origin}'`}.`,
    ),
  );
  return give(call, { type, user, organization, space: null });
}

async function inSpace(call: CreateCall, type: SpaceRole, guid: string): Promise<RoleRow> {
  const { context } = call;
  const space = await findSpace(context.db, guid);
  if (!space) throw invalidSpace();
  await call.authorize(placeOf(space), invalidSpace());
  const user = await findUser(context, call.body, () => unprocessable(NOT_IN_ORGANIZATION));
  if (!(await isInOrganization(context.db, user.guid, space.organization_guid)))
    throw unprocessable(NOT_IN_ORGANIZATION);
  const organization = await findOrganization(context.db, space.organization_guid);
  if (!organization) throw invalidSpace();
  return give(call, { type, user, organization, space });
}

interface NamedUser {
  guid: string;
  name: string;
}

/** The user a body names. By name it needs feature flag set_roles_by_username. */
async function findUser(
  context: Context,
  body: Body,
  missing: (name: string, origin: string | undefined) => CfError,
): Promise<NamedUser> {
  const { guid, username, origin } = body.relationships.user.data;
  if (guid !== undefined) {
    const [known] = await context.users.byIds([guid]);
    return { guid, name: known?.userName ?? guid };
  }
  await requireFeature(context.db, 'set_roles_by_username');
  const name = username ?? '';
  const found = await context.users.byName(name, origin);
  const [user] = found;
  if (!user) throw missing(name, origin);
  if (found.length > 1) {
    const origins = found.map((item) => item.origin).sort();
    throw unprocessable(
      `Ambiguous user. User with username '${name}' exists in the following origins: ${origins.join(', ')}. Specify an origin to disambiguate.`,
    );
  }
  return { guid: user.id, name: user.userName };
}

async function give(
  call: CreateCall,
  role: { type: OrganizationRole | SpaceRole; user: NamedUser; organization: Organization; space: Space | null },
): Promise<RoleRow> {
  const { type, user, organization, space } = role;
  try {
    return await call.context.db.transaction().execute(async (trx) => {
      await insertUser(trx, user.guid);
      const place = space ? { spaceGuid: space.guid } : { organizationGuid: organization.guid };
      const row = await insertRole(trx, { type, userGuid: user.guid, ...place });
      await recordEvent(trx, {
        type: `audit.user.${type}_add`,
        actor: call.actor,
        target: { guid: user.guid, type: 'user', name: user.name },
        organizationGuid: organization.guid,
        spaceGuid: space?.guid ?? null,
        data: { request: { ...call.body } },
      });
      return row;
    });
  } catch (error) {
    if (!isUniqueViolation(error, 'roles_holder')) throw error;
    const where = space ? `space '${space.name}'` : `organization '${organization.name}'`;
    throw unprocessable(`User '${user.name}' already has '${type}' role in ${where}.`);
  }
}
