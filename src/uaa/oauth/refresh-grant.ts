import type { Client } from '../clients/store.ts';
import { UaaError } from '../errors.ts';
import type { Form } from '../http/form.ts';
import type { Services } from '../services.ts';
import { refreshedScopes, requestedScopes } from './scopes.ts';
import type { TokenResponse } from './tokens.ts';

/**
 * RFC 6749 section 6. The refresh token stays the same until it expires or is revoked, since commands that run side
 * by side share it. Throws `invalid_token` where it, its user, its client or their credentials are not what they were.
 */
export async function refreshGrant(services: Services, client: Client, form: Form): Promise<TokenResponse> {
  const refreshToken = form.require('refresh_token');
  const token = await services.verifier.refresh(refreshToken);
  if (token.client.client_id !== client.client_id || !token.user) {
    throw new UaaError('invalid_token', 'The token is invalid or has expired.', {
      reason: 'a token of another client',
    });
  }
  const groups = await services.groups.namesOfUser(token.user.id);
  const scopes = refreshedScopes(token.scopes, client, groups, requestedScopes(form.get('scope')));
  return services.tokens.forUser(client, token.user, scopes, 'refresh_token', refreshToken);
}
