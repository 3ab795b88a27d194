import {
  type OperationId,
  PERMISSIONS,
  type Permission,
  permissionOf,
  type Rule,
} from '../../src/cloud-controller/permissions.ts';
import { ALL_ROLES, type Role } from '../../src/cloud-controller/role-names.ts';
import { freshName, on, THINGS, type Thing, type World } from './role-world.ts';

/** Somebody with exactly one role; `outsider` holds all of them in another organization. */
export type Holder = Role | 'outsider';
export const HOLDERS: readonly Holder[] = [...ALL_ROLES, 'outsider'];

/** One operation on one kind of thing. */
export interface Line {
  id: OperationId;
  /** Where a thing may lie in an organization or in a space. */
  at: 'organization' | 'space' | null;
}

export const titleOf = ({ id, at }: Line): string => (at === null ? id : `${id} (of ${at})`);

/** Operations on what may lie in an organization or in a space have a line for each. */
export const LINES: readonly Line[] = (Object.keys(PERMISSIONS) as OperationId[]).flatMap((id): Line[] =>
  permissionOf(id).scope === 'either' || id === 'GET /v3/audit_events/:guid'
    ? [
        { id, at: 'organization' },
        { id, at: 'space' },
      ]
    : [{ id, at: null }],
);

/** Nothing to call them on can be made. */
export const NOT_DRIVEN: Readonly<Record<string, string>> = {
  'GET /v3/service_instances/:guid': 'no service broker can be registered, so there is no instance',
  'GET /v3/service_credential_bindings/:guid': 'no service broker can be registered, so there is no binding',
  'GET /v3/service_route_bindings/:guid': 'no service broker can be registered, so there is no binding',
};

/** Where the operation itself narrows what the table lets through. */
const NARROWED: Readonly<Record<string, Rule>> = {
  // Without feature flag user_org_creation.
  'POST /v3/organizations': { see: [...ALL_ROLES], may: ['admin'] },
};

/** What a body names, with that body: to who may not know of it, the answer is as if it were not there. */
export const NAMED_BY_BODY: Readonly<Record<string, { thing: Thing; body: (world: World) => unknown }>> = {
  'POST /v3/spaces': { thing: 'organizations', body: inOrganization },
  'POST /v3/space_quotas': { thing: 'organizations', body: inOrganization },
  'POST /v3/domains': {
    thing: 'organizations',
    body: (world) => ({ ...inOrganization(world), name: `${freshName()}.example.org` }),
  },
  'POST /v3/roles (of organization)': {
    thing: 'organizations',
    body: (world) => ({
      type: 'organization_user',
      relationships: { user: on(world.users), organization: on(world.organizations) },
    }),
  },
  'POST /v3/roles (of space)': {
    thing: 'spaces',
    body: (world) => ({
      type: 'space_auditor',
      relationships: { user: on(world.users), space: on(world.spaces) },
    }),
  },
  'POST /v3/routes': {
    thing: 'spaces',
    body: (world) => ({
      host: freshName(),
      relationships: { space: on(world.spaces), domain: on(world.shared_domain) },
    }),
  },
  'POST /v3/apps': {
    thing: 'spaces',
    body: (world) => ({ name: freshName(), relationships: { space: on(world.spaces) } }),
  },
  'POST /v3/packages': { thing: 'apps', body: (world) => ({ type: 'bits', relationships: { app: on(world.apps) } }) },
  'POST /v3/droplets': {
    thing: 'apps',
    body: (world) => ({ relationships: { app: on(world.apps) }, process_types: { web: 'true' } }),
  },
  'POST /v3/deployments': { thing: 'apps', body: (world) => ({ relationships: { app: on(world.apps) } }) },
  'POST /v3/builds': { thing: 'packages', body: (world) => ({ package: { guid: world.packages } }) },
  ...Object.fromEntries(
    ['running', 'staging'].map((phase) => [
      `POST /v3/security_groups/:guid/relationships/${phase}_spaces`,
      { thing: 'spaces' as const, body: (world: World) => ({ data: [{ guid: world.spaces }] }) },
    ]),
  ),
};

function inOrganization(world: World) {
  return { name: freshName(), relationships: { organization: on(world.organizations) } };
}

/** The body an operation is called with: one that would pass where the table alone does not decide. */
export function bodyOf(line: Line, world: World): unknown {
  if (line.id === 'POST /v3/organizations') return { name: freshName() };
  return NAMED_BY_BODY[titleOf(line)]?.body(world) ?? {};
}

/** What an operation that destroys takes away: it is called on a spare. */
export function destroyed({ id, at }: Line): Thing | null {
  if (!id.startsWith('DELETE ') || id.includes('/instances/') || id === 'DELETE /v3/spaces/:guid/routes') return null;
  if (id.includes('/destinations/')) return 'destination';
  // Unsharing a second time is refused for what it is, not for who asks.
  if (id.includes('/shared_organizations/')) return null;
  return subject(id, at);
}

function subject(id: string, at: Line['at']): Thing {
  const collection = id.split('/')[2] ?? '';
  if (collection === 'roles') return at === 'space' ? 'space_role' : 'organization_role';
  if (collection === 'audit_events') return at === 'space' ? 'space_event' : 'organization_event';
  const thing = THINGS.find((known) => known === collection);
  if (!thing) throw new Error(`${id}: a world has none`);
  return thing;
}

const NAMES: Readonly<Record<string, string>> = {
  feature_flags: 'diego_docker',
  environment_variable_groups: 'running',
  apps: 'revisions',
  spaces: 'ssh',
};

export function pathOf({ id, at }: Line, world: World): string {
  const path = id.split(' ')[1] ?? '';
  const collection = path.split('/')[2] ?? '';
  const ofPath: Readonly<Record<string, string | undefined>> = {
    guid: path.includes('/:guid') ? world[subject(id, at)] : undefined,
    space_guid: world.spaces,
    org_guid: collection === 'domains' ? world.elsewhere : world.organizations,
    destination_guid: world.destination,
    type: 'web',
    index: '0',
    name: NAMES[collection],
  };
  return path.replace(/:(\w+)/g, (_, name: string) => {
    const value = ofPath[name];
    if (!value) throw new Error(`${id}: nothing for :${name}`);
    return value;
  });
}

export type Cell = 'ok' | '403' | '404' | 'absent' | 'suspended';

/** What the permission table says: in the words of its comments, not by the code that asks it. */
export function expected(line: Line, holder: Holder, suspended: boolean): Cell {
  const { see, may, inPlace } = ruleOf(line);
  if (holder === 'outsider') {
    if (!inPlace) return see.length === ALL_ROLES.length && may.length === ALL_ROLES.length ? 'ok' : '403';
    return unseen(line);
  }
  if (!see.includes(holder)) return inPlace ? unseen(line) : '403';
  if (!may.includes(holder)) return '403';
  const asksForSuspension = ['organization', 'space', 'either'].includes(permissionOf(line.id).scope);
  return suspended && asksForSuspension && holder !== 'admin' && !line.id.startsWith('GET ') ? 'suspended' : 'ok';
}

const unseen = (line: Line): Cell => (titleOf(line) in NAMED_BY_BODY && !line.id.includes('/:') ? 'absent' : '404');

function ruleOf({ id, at }: Line): Rule & { inPlace: boolean } {
  const permission: Permission = permissionOf(id);
  const narrowed = NARROWED[id];
  if (narrowed) return { ...narrowed, inPlace: false };
  switch (permission.scope) {
    case 'public':
    case 'token':
      return { see: ALL_ROLES, may: ALL_ROLES, inPlace: false };
    case 'platform':
      return { see: ALL_ROLES, may: permission.may, inPlace: false };
    case 'organization':
    case 'space':
      return { ...permission, inPlace: true };
    case 'either':
      return { ...permission[at ?? 'space'], inPlace: true };
    case 'list': {
      const see = at === 'space' ? permission.seeInSpaces : permission.see;
      // A list shows nothing to who sees nothing; a stack everybody sees.
      if (!id.includes('/:guid') || id === 'GET /v3/stacks/:guid/apps') {
        return { see: ALL_ROLES, may: ALL_ROLES, inPlace: false };
      }
      return { see, may: permission.may ?? see, inPlace: true };
    }
  }
}
