import { type RawBuilder, sql } from 'kysely';
import { type AccessToken, type AccessTokenVerifier, InvalidTokenError } from '../contracts/access-token.ts';
import type { UserDirectory } from '../contracts/user-directory.ts';
import type { Db } from './database.ts';
import { CfError, notAuthorized } from './errors.ts';
import {
  type GlobalRole,
  type OperationId,
  ORGANIZATION_ROLES,
  permissionOf,
  type Role,
  type Rule,
  SPACE_ROLES,
} from './permissions.ts';

/** Who calls. */
export interface Caller {
  /** The key of their roles; null for a client that has none of its own. */
  userGuid: string | null;
  /** As audit events name them. */
  actor: Actor;
  globalRoles: ReadonlySet<GlobalRole>;
  mayRead: boolean;
  mayWrite: boolean;
}

export interface Actor {
  guid: string;
  type: string;
  name: string;
}

/** Where something lies: in an organization, or in a space of it. */
export interface Place {
  organization: { guid: string; suspended: boolean };
  space?: { guid: string };
}

const GLOBAL_SCOPES: Readonly<Record<string, GlobalRole>> = {
  'cloud_controller.admin': 'admin',
  'cloud_controller.admin_read_only': 'admin_read_only',
  'cloud_controller.global_auditor': 'global_auditor',
};

/** Reads the Authorization header. Throws NotAuthenticated without one, InvalidAuthToken where the token is no good. */
export async function authenticate(
  header: string | undefined,
  tokens: AccessTokenVerifier,
  users: UserDirectory,
): Promise<Caller> {
  if (header === undefined) throw new CfError('NotAuthenticated', 'Authentication error');
  const [, token] = /^bearer ([\w.~+/=-]+)$/i.exec(header) ?? [];
  if (token === undefined) throw new CfError('InvalidAuthToken', 'Invalid Auth Token');
  try {
    return await callerOf(await tokens.verify(token), users);
  } catch (error) {
    if (error instanceof InvalidTokenError) {
      throw new CfError('InvalidAuthToken', 'Invalid Auth Token', { cause: error });
    }
    throw error;
  }
}

async function callerOf(token: AccessToken, users: UserDirectory): Promise<Caller> {
  const globalRoles = new Set<GlobalRole>();
  for (const [scope, role] of Object.entries(GLOBAL_SCOPES)) if (token.scopes.has(scope)) globalRoles.add(role);
  const admin = globalRoles.has('admin');
  return {
    userGuid: token.userId ?? (await ownGuidOfClient(token.clientId, users)),
    actor: { guid: token.userId ?? token.clientId, type: 'user', name: token.userName ?? token.clientId },
    globalRoles,
    mayRead: globalRoles.size > 0 || token.scopes.has('cloud_controller.read'),
    mayWrite: admin || token.scopes.has('cloud_controller.write'),
  };
}

/** A client may hold roles under its own id, but never those of a user whose guid somebody chose as a client id. */
async function ownGuidOfClient(clientId: string, users: UserDirectory): Promise<string | null> {
  const [user] = await users.byIds([clientId]);
  return user ? null : clientId;
}

/** Writing needs cloud_controller.write, reading cloud_controller.read or one of the platform's scopes. */
export function checkScope(caller: Caller, method: string): void {
  const allowed = method === 'GET' || method === 'HEAD' ? caller.mayRead : caller.mayWrite;
  if (!allowed) throw notAuthorized();
}

/** The roles a caller holds at a place: the platform's, the organization's, and the space's. In an organization the roles in any of its spaces count too. */
export async function rolesAt(db: Db, caller: Caller, place: Place): Promise<ReadonlySet<Role>> {
  const held = new Set<Role>(caller.globalRoles);
  if (caller.userGuid === null) return held;
  const { organization, space } = place;
  const inSpaces = space
    ? sql<boolean>`roles.space_guid = ${space.guid}`
    : sql<boolean>`roles.space_guid IN (SELECT guid FROM spaces WHERE organization_guid = ${organization.guid})`;
  const rows = await db
    .selectFrom('roles')
    .select('type')
    .where('user_guid', '=', caller.userGuid)
    .where((eb) => eb.or([eb('organization_guid', '=', organization.guid), inSpaces]))
    .execute();
  for (const row of rows) held.add(row.type);
  return held;
}

/**
 * Lets the caller pass or throws: `invisible` where they may not know that it exists, NotAuthorized where they may not do
 * this, OrgSuspended where the organization is suspended and this writes. Gives the roles held there.
 */
export async function authorize(
  db: Db,
  caller: Caller,
  id: OperationId,
  place: Place,
  invisible: CfError,
): Promise<ReadonlySet<Role>> {
  const rule = ruleAt(id, place);
  const held = await rolesAt(db, caller, place);
  if (!rule.see.some((role) => held.has(role))) throw invisible;
  if (!rule.may.some((role) => held.has(role))) throw notAuthorized();
  if (place.organization.suspended && !id.startsWith('GET ') && !held.has('admin')) {
    throw new CfError('OrgSuspended', 'The organization is suspended');
  }
  return held;
}

function ruleAt(id: OperationId, place: Place): Rule {
  const permission = permissionOf(id);
  switch (permission.scope) {
    case 'organization':
    case 'space':
      return permission;
    case 'either':
      return place.space ? permission.space : permission.organization;
    case 'list': {
      const see = place.space ? permission.seeInSpaces : permission.see;
      return { see, may: see };
    }
    default:
      throw new Error(`${id} lies in no organization or space`);
  }
}

/** What a list shows: everything, or what lies where the caller has a role. */
export type Visible = { everything: true } | { everything: false; guids: RawBuilder<string> };

/** Organizations where the caller holds one of `roles`, there or in one of its spaces: a sub-select of guids. */
export function visibleOrganizations(caller: Caller, roles: readonly Role[]): Visible {
  if (roles.some((role) => caller.globalRoles.has(role as GlobalRole))) return { everything: true };
  const inOrganization = ORGANIZATION_ROLES.filter((role) => roles.includes(role));
  const inSpace = SPACE_ROLES.filter((role) => roles.includes(role));
  return {
    everything: false,
    guids: sql<string>`(SELECT organization_guid FROM roles
        WHERE user_guid = ${caller.userGuid} AND organization_guid IS NOT NULL AND type = ANY(${inOrganization})
      UNION SELECT spaces.organization_guid FROM roles JOIN spaces ON spaces.guid = roles.space_guid
        WHERE roles.user_guid = ${caller.userGuid} AND roles.type = ANY(${inSpace}))`,
  };
}

/** Spaces where the caller holds one of `roles`, there or in its organization: a sub-select of guids. */
export function visibleSpaces(caller: Caller, roles: readonly Role[]): Visible {
  if (roles.some((role) => caller.globalRoles.has(role as GlobalRole))) return { everything: true };
  const inOrganization = ORGANIZATION_ROLES.filter((role) => roles.includes(role));
  const inSpace = SPACE_ROLES.filter((role) => roles.includes(role));
  return {
    everything: false,
    guids: sql<string>`(SELECT space_guid FROM roles
        WHERE user_guid = ${caller.userGuid} AND space_guid IS NOT NULL AND type = ANY(${inSpace})
      UNION SELECT spaces.guid FROM roles JOIN spaces ON spaces.organization_guid = roles.organization_guid
        WHERE roles.user_guid = ${caller.userGuid} AND roles.type = ANY(${inOrganization}))`,
  };
}
