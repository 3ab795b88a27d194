import { CF_CLIENT } from '../../src/uaa/clients/standard.ts';
import { ADMIN_GROUPS, DEFAULT_GROUPS, PLATFORM_GROUPS } from '../../src/uaa/groups/names.ts';
import { PERMISSIONS, type Requirement } from '../../src/uaa/permissions.ts';
import { code, MADE, table } from './pages.ts';

const oneOf = (names: readonly string[]): string => names.map(code).join(' or ');

/** Who may call an operation with this row. */
function words(requirement: Requirement): string {
  switch (requirement.rule) {
    case 'anyone':
      return 'anyone';
    case 'client':
      return 'a client that proves itself in the operation';
    case 'client with':
      return `a client that proves itself by Basic and has the authority ${oneOf(requirement.authorities)}`;
    case 'token':
      return 'any access token';
    case 'own token':
      return `the bearer of that token, or ${oneOf(requirement.scopes)}`;
    case 'scopes':
      return `${oneOf(requirement.scopes)}${requirement.self ? ', or the user that the path names' : ''}`;
  }
}

function scopesOf(requirement: Requirement): readonly string[] {
  if (requirement.rule === 'client with') return requirement.authorities;
  return 'scopes' in requirement ? requirement.scopes : [];
}

/** docs/uaa-permissions.md, of UAA's permission table and of the groups that are there from the start. */
export function uaaPermissionsPage(): string {
  const operations = Object.entries(PERMISSIONS).map(([id, requirement]) => [code(id), words(requirement)]);
  const yes = (names: readonly string[], name: string): string => (names.includes(name) ? 'yes' : '');
  const asked = new Set(Object.values(PERMISSIONS).flatMap(scopesOf));
  const scopes = Object.entries(PLATFORM_GROUPS).map(([name, description]) => [
    code(name),
    description,
    asked.has(name) ? 'yes' : '',
    yes(DEFAULT_GROUPS, name),
    yes(ADMIN_GROUPS, name),
    yes(CF_CLIENT.scope ?? [], name),
  ]);
  return `# Who may do what in UAA

Made of \`src/uaa/permissions.ts\` and \`src/uaa/groups/names.ts\`; ${MADE}
What a token lets do at the Cloud Controller stands in [permissions.md](permissions.md).

## Operations

An access token has one of the scopes that stand here; whoever shows none, or one that is no good, is answered with 401, and whoever
lacks the scope with 403. "The user that the path names" is the user of the token, never a client with such an id.

${table(['Operation', 'Who'], operations)}
## Scopes

A scope is a group: a user's token has the scopes of the groups that the user is in, as far as the client of the token may carry them.
A client in its own name has its authorities. These groups are there from the first start.

${table(['Scope', 'What it is for', 'UAA asks for it', 'Every user has it', 'The first admin has it', 'Tokens of `cf` carry it'], scopes)}`;
}
