import { type RawBuilder, sql } from 'kysely';
import { type AccessToken, type AccessTokenVerifier, InvalidTokenError } from '../contracts/access-token.ts';
import { UaaUnavailableError } from '../contracts/uaa-unavailable.ts';
import type { UserDirectory } from '../contracts/user-directory.ts';
import { forOwner, nowFor } from '../kit/database-shares.ts';
import type { Db } from './database.ts';
import { CfError, notAuthorized, uaaUnavailable } from './errors.ts';
import { type OperationId, permissionOf, type Rule } from './permissions.ts';
import { type GlobalRole, ORGANIZATION_ROLES, type Role, SPACE_ROLES } from './role-names.ts';

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
  /** Organizations it is shared to: it is seen from there too, and changed from where it lies alone. */
  sharedTo?: readonly string[];
}

/** Of something in a space, by what its row says of the space's organization. */
export function placeInSpace(row: {
  space_guid: string;
  organization_guid: string;
  organization_suspended: boolean;
}): Place {
  return {
    organization: { guid: row.organization_guid, suspended: row.organization_suspended },
    space: { guid: row.space_guid },
  };
}

const GLOBAL_SCOPES: Readonly<Record<string, GlobalRole>> = {
  'cloud_controller.admin': 'admin',
  'cloud_controller.admin_read_only': 'admin_read_only',
  'cloud_controller.global_auditor': 'global_auditor',
};

/** Who sent a request, by the token alone: nothing was looked up for it. */
export type Sender = Omit<Caller, 'userGuid'> & {
  /** Null for a client in its own name. */
  userId: string | null;
};

/** Whose share of the database a caller's questions take. */
export function ownerKey({ guid }: Pick<Actor, 'guid'>): string {
  return `actor ${guid}`;
}

/**
 * Does something for the bearer of a token, in their share of the database. `body` gets the sender with the key of their
 * roles. Throws as `senderOf`.
 */
export async function forBearer<Result>(
  token: string,
  { tokens, users }: { tokens: AccessTokenVerifier; users: UserDirectory },
  body: (caller: Caller) => Promise<Result>,
): Promise<Result> {
  const sender = await senderOf(`bearer ${token}`, tokens);
  return forOwner(ownerKey(sender.actor), false, async () => body(await callerOf(sender, users)));
}

/** Reads the Authorization header. Throws NotAuthenticated without one, InvalidAuthToken where the token is no good, UaaUnavailable where that cannot be decided now. */
export async function senderOf(header: string | undefined, tokens: AccessTokenVerifier): Promise<Sender> {
  if (header === undefined) throw new CfError('NotAuthenticated', 'Authentication error');
  const [, token] = /^bearer ([\w.~+/=-]+)$/i.exec(header) ?? [];
  if (token === undefined) throw new CfError('InvalidAuthToken', 'Invalid Auth Token');
  try {
    const sender = senderByToken(await tokens.verify(token));
    nowFor(ownerKey(sender.actor));
    return sender;
  } catch (error) {
    if (error instanceof InvalidTokenError) {
      throw new CfError('InvalidAuthToken', 'Invalid Auth Token', { cause: error });
    }
    if (error instanceof UaaUnavailableError) throw uaaUnavailable(error);
    throw error;
  }
}

/** For a client it asks whether a user has its id. */
export async function callerOf({ userId, ...sender }: Sender, users: UserDirectory): Promise<Caller> {
  return { ...sender, userGuid: userId ?? (await ownGuidOfClient(sender.actor.guid, users)) };
}

function senderByToken(token: AccessToken): Sender {
  const globalRoles = new Set<GlobalRole>();
  for (const [scope, role] of Object.entries(GLOBAL_SCOPES)) if (token.scopes.has(scope)) globalRoles.add(role);
  const admin = globalRoles.has('admin');
  return {
    userId: token.userId,
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
export function checkScope(caller: Pick<Caller, 'mayRead' | 'mayWrite'>, method: string): void {
  const allowed = method === 'GET' || method === 'HEAD' ? caller.mayRead : caller.mayWrite;
  if (!allowed) throw notAuthorized();
}

/** The roles a caller holds at a place: the platform's, the organization's, and the space's. In an organization the roles in any of its spaces count too. */
export async function rolesAt(db: Db, caller: Caller, place: Place): Promise<ReadonlySet<Role>> {
  const [held] = await rolesAtEach(db, caller, [place]);
  return held!;
}

/** The same at each of these places, in their order; asked together. */
export async function rolesAtEach(
  db: Db,
  caller: Caller,
  places: readonly Place[],
): Promise<readonly ReadonlySet<Role>[]> {
  if (caller.userGuid === null || places.length === 0) return places.map(() => new Set(caller.globalRoles));
  const organizations = [...new Set(places.map(({ organization }) => organization.guid))];
  const spaces = [...new Set(places.flatMap(({ space }) => space?.guid ?? []))];
  const whole = [...new Set(places.flatMap(({ organization, space }) => (space ? [] : organization.guid)))];
  const { rows } = await sql<{ type: Role; space_guid: string | null; organization_guid: string }>`
    SELECT type, space_guid, COALESCE(organization_guid,
      (SELECT spaces.organization_guid FROM spaces WHERE spaces.guid = roles.space_guid)) AS organization_guid
    FROM roles WHERE user_guid = ${caller.userGuid} AND (organization_guid = ANY(${organizations})
      OR space_guid = ANY(${spaces})
      OR space_guid IN (SELECT guid FROM spaces WHERE organization_guid = ANY(${whole})))`.execute(db);
  const inOrganization = Map.groupBy(rows, (row) => row.organization_guid);
  const ofOrganization = Map.groupBy(
    rows.filter((row) => row.space_guid === null),
    (row) => row.organization_guid,
  );
  const inSpace = Map.groupBy(rows, (row) => row.space_guid);
  return places.map(({ organization, space }) => {
    const held = space
      ? [...(ofOrganization.get(organization.guid) ?? []), ...(inSpace.get(space.guid) ?? [])]
      : (inOrganization.get(organization.guid) ?? []);
    return new Set([...caller.globalRoles, ...held.map(({ type }) => type)]);
  });
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
  const [held] = await authorizeEach(db, caller, id, [place], () => invisible);
  return held!;
}

/**
 * The same of several at once; one that is nowhere, as none of that name is there, counts as one they may not know of. `invisible`
 * is told which those are, by their numbers.
 */
export async function authorizeEach(
  db: Db,
  caller: Caller,
  id: OperationId,
  places: readonly (Place | null)[],
  invisible: (unknown: ReadonlySet<number>) => CfError,
): Promise<readonly ReadonlySet<Role>[]> {
  const reads = id.startsWith('GET ');
  const held = await rolesAtEach(
    db,
    caller,
    places.filter((place) => place !== null),
  );
  const roles = held.values();
  const unknown = new Set<number>();
  /** Where there is more to ask than whether they are shown it. */
  const asked: { place: Place; may: boolean; admin: boolean }[] = [];
  for (const [at, place] of places.entries()) {
    const here = place && roles.next().value;
    if (!here) {
      unknown.add(at);
      continue;
    }
    const rule = ruleAt(id, place);
    const has = (role: Role): boolean => here.has(role);
    const sees = rule.see.some(has);
    if (!sees && !(await seesFromElsewhere(db, caller, place, rule))) unknown.add(at);
    else if (sees || !reads) asked.push({ place, may: rule.may.some(has), admin: has('admin') });
  }
  if (unknown.size > 0) throw invisible(unknown);
  for (const { place, may, admin } of asked) {
    if (!may) throw notAuthorized();
    if (place.organization.suspended && !reads && !admin) {
      throw new CfError('OrgSuspended', 'The organization is suspended');
    }
  }
  return held;
}

/** Does the caller see it in one of the organizations it is shared to? */
async function seesFromElsewhere(db: Db, caller: Caller, { sharedTo = [] }: Place, { see }: Rule): Promise<boolean> {
  if (sharedTo.length === 0) return false;
  const visible = visibleOrganizations(caller, see);
  if (visible.everything) return true;
  const { rows } =
    await sql`SELECT FROM ${visible.guids} AS seen WHERE organization_guid = ANY(${sharedTo}) LIMIT 1`.execute(db);
  return rows.length > 0;
}

/** Where an operation is for some of the platform's roles only: is the caller one of them? Elsewhere places decide. */
export function mayDo(id: OperationId, caller: Caller): boolean {
  const permission = permissionOf(id);
  if (permission.scope !== 'platform' && permission.scope !== 'list') return true;
  const held: ReadonlySet<Role> = caller.globalRoles;
  return permission.may === undefined || permission.may.some((role) => held.has(role));
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
  return visible(
    caller,
    roles,
    (inOrganization, inSpace) => sql`(SELECT organization_guid FROM roles
        WHERE user_guid = ${caller.userGuid} AND organization_guid IS NOT NULL AND type = ANY(${inOrganization})
      UNION SELECT spaces.organization_guid FROM roles JOIN spaces ON spaces.guid = roles.space_guid
        WHERE roles.user_guid = ${caller.userGuid} AND roles.type = ANY(${inSpace}))`,
  );
}

/** Spaces where the caller holds one of `roles`, there or in its organization: a sub-select of guids. */
export function visibleSpaces(caller: Caller, roles: readonly Role[]): Visible {
  return visible(
    caller,
    roles,
    (inOrganization, inSpace) => sql`(SELECT space_guid FROM roles
        WHERE user_guid = ${caller.userGuid} AND space_guid IS NOT NULL AND type = ANY(${inSpace})
      UNION SELECT spaces.guid FROM roles JOIN spaces ON spaces.organization_guid = roles.organization_guid
        WHERE roles.user_guid = ${caller.userGuid} AND roles.type = ANY(${inOrganization}))`,
  );
}

/** `guids` gets those of the roles that are held in an organization, and those that are held in a space. */
function visible(
  caller: Caller,
  roles: readonly Role[],
  guids: (inOrganization: readonly Role[], inSpace: readonly Role[]) => RawBuilder<string>,
): Visible {
  if (roles.some((role) => caller.globalRoles.has(role as GlobalRole))) return { everything: true };
  return {
    everything: false,
    guids: guids(
      ORGANIZATION_ROLES.filter((role) => roles.includes(role)),
      SPACE_ROLES.filter((role) => roles.includes(role)),
    ),
  };
}

/** Spaces where the caller may do what an operation on something in a space does. */
export function spacesWhere(caller: Caller, id: OperationId): Visible {
  const permission = permissionOf(id);
  return visibleSpaces(caller, permission.scope === 'space' ? permission.may : []);
}

/** Where a caller sees, by an operation's line in the permission table. */
export interface Sees {
  readonly caller: Caller;
  readonly organizations: Visible;
  readonly spaces: Visible;
}

const EVERYTHING: Visible = { everything: true };

/** Where the caller sees by this operation's line. */
export function seesBy(caller: Caller, id: OperationId): Sees {
  const permission = permissionOf(id);
  // Only those come so far who may do it to whatever there is.
  if (permission.scope === 'platform') return { caller, organizations: EVERYTHING, spaces: EVERYTHING };
  const { see, seeInSpaces } = permission.scope === 'list' ? permission : { see: [], seeInSpaces: [] };
  return { caller, organizations: visibleOrganizations(caller, see), spaces: visibleSpaces(caller, seeInSpaces) };
}
