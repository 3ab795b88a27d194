import {
  FIELDS,
  type FieldId,
  type OperationId,
  PERMISSIONS,
  permissionOf,
  type Rule,
} from '../../src/cloud-controller/permissions.ts';
import { ALL_ROLES, GLOBAL_ROLES, type Role } from '../../src/cloud-controller/role-names.ts';
import { code, MADE, table } from './pages.ts';

/** yes: may; 403: sees it and may not; 404: it is not there for them; own: sees what lies where they have the role. */
function decision(id: OperationId, role: Role): string {
  const permission = permissionOf(id);
  switch (permission.scope) {
    case 'public':
    case 'token':
      return 'yes';
    case 'platform':
      return permission.may.includes(role) ? 'yes' : '403';
    case 'list': {
      const seen = permission.see.includes(role) || permission.seeInSpaces.includes(role);
      const may: readonly Role[] = permission.may ?? ALL_ROLES;
      if (!may.includes(role)) return seen ? '403' : '404';
      return seen ? (GLOBAL_ROLES.some((name) => name === role) ? 'all' : 'own') : 'none';
    }
    case 'either':
      return `${byRule(permission.organization, role)}/${byRule(permission.space, role)}`;
    default:
      return byRule(permission, role);
  }
}

function byRule(rule: Rule, role: Role): string {
  return rule.may.includes(role) && rule.see.includes(role) ? 'yes' : rule.see.includes(role) ? '403' : '404';
}

function flagOf(id: OperationId): string {
  const { whileOn, adminsUnless } = permissionOf(id);
  if (whileOn) return [whileOn].flat().map(code).join(', ');
  return adminsUnless ? `${code(adminsUnless)}, else the admin alone` : '';
}

/** "admin" stays; "organization_manager" and "space_manager" are "org manager" and "space manager". */
const headOf = (role: Role): string => role.replace('organization', 'org').replaceAll('_', ' ');

const SCOPES = [
  ['`public`', 'no token is asked'],
  ['`token`', 'any token with the scope to read or write; what it shows of what, the operation says'],
  ['`platform`', 'belongs to no organization'],
  ['`list`', 'what lies in an organization or space where the caller has one of the roles'],
  ['`organization`, `space`', "lies in one; a role counts in its own alone, an organization's also in its spaces"],
  ['`either`', 'lies in an organization or in a space: what holds in the first stands before the stroke'],
];

const ANSWERS = [
  ['yes', 'may do it'],
  ['403', 'sees it, and may not'],
  ['404', 'it is not there for them'],
  ['all', 'sees all of it'],
  [
    'own',
    'sees, or does it to, what lies where they have the role; what does not is left out of a list, and 404 by its guid',
  ],
  ['none', 'sees an empty list; 404 by a guid'],
];

/** docs/permissions.md, of the permission table. */
export function permissionsPage(): string {
  const operations = (Object.keys(PERMISSIONS) as OperationId[]).map((id) => [
    code(id),
    permissionOf(id).scope,
    ...ALL_ROLES.map((role) => decision(id, role)),
    flagOf(id),
  ]);
  const fields = (Object.keys(FIELDS) as FieldId[]).map((field) => [
    code(field),
    ...ALL_ROLES.map((role) => ((FIELDS[field] as readonly Role[]).includes(role) ? 'yes' : '-')),
  ]);
  return `# Who may do what

Made of \`src/cloud-controller/permissions.ts\`; ${MADE}
Whoever lacks a token is told so with 401, but for what is \`public\`. What UAA lets do: [uaa-permissions.md](uaa-permissions.md).

## Operations

${table(['Scope', 'What is called'], SCOPES)}
${table(['Answer', 'Meaning'], ANSWERS)}
Without the feature flag of the last column, or without one of several, the operation is the admin's alone.

${table(['Operation', 'Scope', ...ALL_ROLES.map(headOf), 'While this flag is on'], operations)}
## Fields

Not everybody who may call an operation sees or sets these. To the others they are hidden, or refused with 403; a list over several
apps hides them from everybody.

${table(['Field', ...ALL_ROLES.map(headOf)], fields)}`;
}
