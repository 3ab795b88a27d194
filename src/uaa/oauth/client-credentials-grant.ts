import type { Client } from '../clients/store.ts';
import { UaaError } from '../errors.ts';
import type { Form } from '../http/form.ts';
import type { Services } from '../services.ts';
import { clientScopes, requestedScopes } from './scopes.ts';
import type { TokenResponse } from './tokens.ts';

/** RFC 6749 section 4.4: only for a client that has a secret. */
export async function clientCredentialsGrant(services: Services, client: Client, form: Form): Promise<TokenResponse> {
  if (client.secret_hashes.length === 0) {
    throw new UaaError('invalid_client', 'A public client cannot act in its own name.');
  }
  return services.tokens.forClient(client, clientScopes(client, requestedScopes(form.get('scope'))));
}
