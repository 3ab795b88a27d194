/**
 * Who may call what. An operation that is not here cannot be registered, and a call that meets none of its row's
 * conditions is refused: nothing is open by omission.
 *
 * - `anyone`: no credentials.
 * - `client`: the client proves itself inside the operation (RFC 6749 section 2.3).
 * - `client with`: a client that proves itself by Basic and has one of these authorities.
 * - `scopes`: an access token with one of these scopes.
 * - `self`: also the user the path names.
 * - `token`: any access token; `own token`: the bearer of the token that the path names, access or refresh.
 */
export type Requirement =
  | { rule: 'anyone' }
  | { rule: 'client' }
  | { rule: 'client with'; authorities: readonly string[] }
  | { rule: 'scopes'; scopes: readonly string[]; self?: true }
  | { rule: 'token' }
  | { rule: 'own token'; scopes: readonly string[] };

const anyone: Requirement = { rule: 'anyone' };
const client: Requirement = { rule: 'client' };
const clientWith = (...authorities: string[]): Requirement => ({ rule: 'client with', authorities });
const scopes = (...names: string[]): Requirement => ({ rule: 'scopes', scopes: names });
const selfOr = (...names: string[]): Requirement => ({ rule: 'scopes', scopes: names, self: true });
const ownTokenOr = (...names: string[]): Requirement => ({ rule: 'own token', scopes: names });

export const PERMISSIONS: Readonly<Record<string, Requirement>> = {
  'GET /healthz': anyone,
  'GET /info': anyone,
  'GET /login': anyone,
  'GET /token_key': anyone,
  'GET /token_keys': anyone,
  'GET /.well-known/openid-configuration': anyone,
  'GET /oauth/token/.well-known/openid-configuration': anyone,

  'POST /oauth/token': client,
  'GET /oauth/authorize': { rule: 'token' },
  'POST /check_token': clientWith('uaa.resource'),
  'POST /introspect': clientWith('uaa.resource'),
  'GET /userinfo': scopes('openid'),
  'GET /oauth/token/revoke/user/:id': selfOr('tokens.revoke', 'uaa.admin'),
  'GET /oauth/token/revoke/client/:clientId': scopes('tokens.revoke', 'uaa.admin'),
  'DELETE /oauth/token/revoke/:tokenId': ownTokenOr('tokens.revoke', 'uaa.admin'),

  'GET /Users': scopes('scim.read', 'uaa.admin'),
  'POST /Users': scopes('scim.write', 'scim.create', 'uaa.admin'),
  'GET /Users/:id': selfOr('scim.read', 'uaa.admin'),
  'PUT /Users/:id': scopes('scim.write', 'uaa.admin'),
  'PATCH /Users/:id': scopes('scim.write', 'uaa.admin'),
  'DELETE /Users/:id': scopes('scim.write', 'uaa.admin'),
  'PUT /Users/:id/password': selfOr('uaa.admin'),
  'PATCH /Users/:id/status': scopes('scim.write', 'uaa.account_status.write', 'uaa.admin'),
  'GET /ids/Users': scopes('scim.userids', 'scim.read', 'uaa.admin'),

  'GET /Groups': scopes('scim.read', 'uaa.admin'),
  'POST /Groups': scopes('scim.write', 'uaa.admin'),
  'GET /Groups/:id': scopes('scim.read', 'uaa.admin'),
  'DELETE /Groups/:id': scopes('scim.write', 'uaa.admin'),
  'GET /Groups/External': scopes('scim.read', 'uaa.admin'),
  'GET /Groups/External/list': scopes('scim.read', 'uaa.admin'),
  'POST /Groups/External': scopes('scim.write', 'uaa.admin'),
  'DELETE /Groups/External/*': scopes('scim.write', 'uaa.admin'),
  'GET /Groups/:id/members': scopes('scim.read', 'uaa.admin'),
  'POST /Groups/:id/members': scopes('scim.write', 'uaa.admin'),
  'GET /Groups/:id/members/:memberId': scopes('scim.read', 'uaa.admin'),
  'DELETE /Groups/:id/members/:memberId': scopes('scim.write', 'uaa.admin'),

  'GET /oauth/clients': scopes('clients.read', 'clients.admin', 'uaa.admin'),
  'POST /oauth/clients': scopes('clients.write', 'clients.admin', 'uaa.admin'),
  'GET /oauth/clients/:clientId': scopes('clients.read', 'clients.admin', 'uaa.admin'),
  'PUT /oauth/clients/:clientId': scopes('clients.write', 'clients.admin', 'uaa.admin'),
  'DELETE /oauth/clients/:clientId': scopes('clients.write', 'clients.admin', 'uaa.admin'),
  'PUT /oauth/clients/:clientId/secret': scopes('clients.secret', 'clients.admin', 'uaa.admin'),
};

/** The methods an address without parameters is served with; none where there is no such address. */
export function methodsOf(path: string): string[] {
  return Object.keys(PERMISSIONS)
    .map((operation) => operation.split(' '))
    .filter(([, known]) => known === path)
    .flatMap(([method = '']) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
}

/** The row of an operation; HEAD is allowed where GET is. Undefined: there is no such operation. */
export function requirementOf(method: string, path: string): Requirement | undefined {
  return PERMISSIONS[`${method === 'HEAD' ? 'GET' : method} ${path}`];
}
