import type { Client } from '../clients/store.ts';
import { UaaError } from '../errors.ts';

/** The scopes a request asks for; null: whatever may be had. Words are separated by spaces, as RFC 6749 section 3.3 says. */
export function requestedScopes(scope: string | null): ReadonlySet<string> | null {
  const words = (scope ?? '').split(' ').filter((word) => word !== '');
  return words.length === 0 ? null : new Set(words);
}

/**
 * What a user gets through a client: what the client may carry, the user has and the request asks for. Throws
 * `invalid_scope` where the client may not carry what is asked for, or nothing is left.
 */
export function userScopes(
  client: Client,
  userGroups: ReadonlySet<string>,
  requested: ReadonlySet<string> | null,
): string[] {
  if (requested) refuseForeign(requested, client.scope);
  const granted = client.scope.filter((scope) => userGroups.has(scope) && (requested?.has(scope) ?? true));
  if (granted.length === 0) {
    throw new UaaError('invalid_scope', 'This user is not allowed any of the requested scopes.');
  }
  return granted;
}

/** What a client gets in its own name. Throws `invalid_scope` where it asks for more than it has. */
export function clientScopes(client: Client, requested: ReadonlySet<string> | null): string[] {
  if (!requested) return [...client.authorities];
  refuseForeign(requested, client.authorities);
  return client.authorities.filter((authority) => requested.has(authority));
}

/** A refresh narrows: what was granted, less what client or user have lost since, less what is not asked for. */
export function refreshedScopes(
  granted: readonly string[],
  client: Client,
  userGroups: ReadonlySet<string>,
  requested: ReadonlySet<string> | null,
): string[] {
  if (requested) refuseForeign(requested, granted);
  const still = granted.filter((scope) => client.scope.includes(scope) && userGroups.has(scope));
  const scopes = requested ? still.filter((scope) => requested.has(scope)) : still;
  if (scopes.length === 0) {
    throw new UaaError('invalid_scope', 'This user is not allowed any of the requested scopes.');
  }
  return scopes;
}

function refuseForeign(requested: ReadonlySet<string>, allowed: readonly string[]): void {
  for (const scope of requested) {
    if (!allowed.includes(scope)) {
      throw new UaaError('invalid_scope', 'A requested scope is invalid. This client is not allowed it.');
    }
  }
}
