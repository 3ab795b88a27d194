import { createHash } from 'node:crypto';
import { sameSecret } from '../../kit/crypto.ts';
import type { Client } from '../clients/store.ts';
import { UaaError } from '../errors.ts';
import type { Form } from '../http/form.ts';
import type { TokenOrigin } from '../schema.ts';
import type { Services } from '../services.ts';
import type { CodeGrant } from './authorization-codes.ts';
import { refreshedScopes } from './scopes.ts';
import type { LiveToken } from './token-verifier.ts';
import type { TokenResponse } from './tokens.ts';

/**
 * RFC 6749 section 4.1.1 for a caller who shows an access token instead of a login page, as `cf ssh` does. Gives the
 * address to send the caller to, with the code. Throws before redirecting where client or address are not registered.
 */
export async function authorize(services: Services, token: LiveToken, query: Form): Promise<string> {
  const { user } = token;
  if (!user) throw new UaaError('access_denied', 'Only a user can authorize a client.');
  const client = await services.clients.byId(query.require('client_id'));
  if (!client?.grant_types.includes('authorization_code')) {
    throw new UaaError('invalid_client', 'No client with requested id.');
  }
  const redirectUri = query.get('redirect_uri');
  const target = registeredRedirect(client, redirectUri);
  if (query.require('response_type') !== 'code') {
    throw new UaaError('invalid_request', 'Unsupported response type.');
  }
  const scopes = authorizedScopes(client, token, query.get('scope'));
  const code = await services.codes.issue({
    clientId: client.client_id,
    userId: user.id,
    token: token.origin,
    scopes,
    redirectUri,
    codeChallenge: codeChallenge(client, query),
  });
  services.audit.info('a user authorized a client', { user: user.id, client: client.client_id });
  target.searchParams.set('code', code);
  const state = query.get('state');
  if (state !== null) target.searchParams.set('state', state);
  return target.toString();
}

/** RFC 6749 section 4.1.3: the code for tokens, once, by the client it was made for. Throws `invalid_grant`. */
export async function authorizationCodeGrant(services: Services, client: Client, form: Form): Promise<TokenResponse> {
  const grant = await services.codes.redeem(form.require('code'));
  if (!grant) return refuse('unknown, used or expired code');
  if (grant.clientId !== client.client_id) return refuse('a code of another client');
  if (grant.redirectUri !== null && grant.redirectUri !== form.get('redirect_uri')) return refuse('another address');
  checkVerifier(grant, form.get('code_verifier'));
  const { user } = grant.token ? await stillLive(services, grant.token) : refuse('a code of the version before');
  if (user?.id !== grant.userId) return refuse('a code of another user');
  const groups = await services.groups.namesOfUser(user.id);
  const scopes = refreshedScopes(grant.scopes, client, groups, null);
  return services.tokens.forUser(client, user, scopes, 'authorization_code');
}

/** A code opens nothing that the token it was asked for with would not: one that is revoked, or of a user or client that is. */
async function stillLive(services: Services, token: TokenOrigin): Promise<Pick<LiveToken, 'user'>> {
  return services.verifier.inForce(token, 'access').catch((error: unknown) => {
    if (!(error instanceof UaaError)) throw error;
    return refuse(`of the token that it was asked for with: ${error.reason}`);
  });
}

/** Compared letter by letter, without patterns. */
function registeredRedirect(client: Client, redirectUri: string | null): URL {
  const [only, ...others] = client.redirect_uris;
  const chosen = redirectUri ?? (others.length === 0 ? only : undefined);
  if (chosen === undefined || !client.redirect_uris.includes(chosen)) {
    throw new UaaError('invalid_redirect', 'The redirect address is not registered for this client.');
  }
  return new URL(chosen);
}

/** Never more than the token at hand carries: a code is no way to a wider token. */
function authorizedScopes(client: Client, token: LiveToken, scope: string | null): string[] {
  const requested = (scope ?? '').split(' ').filter((word) => word !== '');
  const allowed = client.scope.filter((name) => token.scopes.includes(name));
  const approves = (name: string) => client.auto_approve.includes('true') || client.auto_approve.includes(name);
  const scopes = allowed.filter((name) => approves(name) && (requested.length === 0 || requested.includes(name)));
  if (scopes.length === 0 || !requested.every((name) => client.scope.includes(name))) {
    throw new UaaError('invalid_scope', 'This user is not allowed any of the requested scopes.');
  }
  return scopes;
}

/** A public client must bring PKCE; `plain` is not accepted from anybody. */
function codeChallenge(client: Client, query: Form): string | null {
  const challenge = query.get('code_challenge');
  if (challenge === null) {
    if (client.secret_hashes.length > 0) return null;
    throw new UaaError('invalid_request', 'A public client must send a code_challenge.');
  }
  if (query.get('code_challenge_method') !== 'S256' || !/^[\w-]{43}$/.test(challenge)) {
    throw new UaaError('invalid_request', 'The code_challenge_method must be S256.');
  }
  return challenge;
}

function checkVerifier(grant: CodeGrant, verifier: string | null): void {
  if (grant.codeChallenge === null && verifier === null) return;
  if (grant.codeChallenge === null || verifier === null) refuse('code verifier and challenge do not go together');
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  if (!sameSecret(challenge, grant.codeChallenge)) refuse('wrong code verifier');
}

function refuse(reason: string): never {
  throw new UaaError('invalid_grant', 'The authorization code is invalid or has expired.', { reason });
}
