import type { Static } from 'typebox';
import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { lockRow } from '../database.ts';
import { type CfError, isUniqueViolation, unprocessable } from '../errors.ts';
import type { Organization } from '../organizations/store.ts';
import { ORGANIZATION_ROLES } from '../role-names.ts';
import type { Space } from '../spaces/store.ts';
import { type NamedUser, named } from '../users/names.ts';
import { insertUser } from '../users/store.ts';
import { roleEvent } from './events.ts';
import type { CreateRole } from './schema.ts';
import { findRole, insertRole, isInOrganization, type Role } from './store.ts';

type Body = Static<typeof CreateRole>;
type Place = { organization: Organization } | { space: Space };

const notInOrganization = () =>
  unprocessable("Users cannot be assigned roles in a space if they do not have a role in that space's organization.");

/** Gives a role in an organization or a space, by the user's guid or name. Throws UnprocessableEntity. */
export async function createRole(
  context: Context,
  { organization, space }: { organization: Organization | null; space: Space | null },
  body: Body,
  actor: Actor,
): Promise<Role> {
  const { type, relationships } = body;
  const { guid, username, origin } = relationships.user.data;
  if ((guid === undefined) === (username === undefined)) {
    throw unprocessable('Relationships user must name either a guid or a username');
  }
  if (origin !== undefined && username === undefined) {
    throw unprocessable('Relationships user cannot have an origin without a username');
  }
  if (ORGANIZATION_ROLES.some((role) => role === type)) {
    if (!organization || space)
      throw unprocessable(`Relationships of a role of type '${type}' must name an organization`);
    return give(context, { organization }, await userOf(context, body, noSuchUser), body, actor);
  }
  if (!space || organization) throw unprocessable(`Relationships of a role of type '${type}' must name a space`);
  return give(context, { space }, await userOf(context, body, notInOrganization), body, actor);
}

function noSuchUser(name: string, origin: string | undefined): CfError {
  return unprocessable(
    `No user exists with the username '${name}'${origin === undefined ? '' : ` and origin '${origin}'`}.`,
  );
}

/** The user a body names, by guid or by name. */
async function userOf(
  context: Context,
  body: Body,
  missing: (name: string, origin: string | undefined) => CfError,
): Promise<NamedUser> {
  const { guid, username = '', origin } = body.relationships.user.data;
  if (guid !== undefined) return named(context, guid);
  const found = await context.users.byNames([username], origin);
  const [user] = found;
  if (!user) throw missing(username, origin);
  if (found.length > 1) {
    const origins = found.map((item) => item.origin).sort();
    throw unprocessable(
      `Ambiguous user. User with username '${username}' exists in the following origins: ${origins.join(', ')}. Specify an origin to disambiguate.`,
    );
  }
  return { guid: user.id, name: user.userName };
}

async function give(context: Context, place: Place, user: NamedUser, body: Body, actor: Actor): Promise<Role> {
  const { type } = body;
  const giving = context.db.transaction().execute(async (trx) => {
    await insertUser(trx, user.guid);
    if ('space' in place) {
      // Until this is committed nobody takes away what it rests on.
      await lockRow(trx, 'users', user.guid, notInOrganization());
      if (!(await isInOrganization(trx, user.guid, place.space.organization_guid))) throw notInOrganization();
    }
    const at = 'space' in place ? { spaceGuid: place.space.guid } : { organizationGuid: place.organization.guid };
    const { guid } = await insertRole(trx, { type, userGuid: user.guid, ...at });
    const made = await findRole(trx, guid);
    if (!made) throw new Error('a role vanished in its own transaction');
    await recordEvent(trx, roleEvent(actor, 'add', made, user, { request: body }));
    return made;
  });
  return giving.catch((error: unknown) => {
    if (!isUniqueViolation(error, 'roles_holder')) throw error;
    const where = 'space' in place ? `space '${place.space.name}'` : `organization '${place.organization.name}'`;
    throw unprocessable(`User '${user.name}' already has '${type}' role in ${where}.`);
  });
}
