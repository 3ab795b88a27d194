import { UaaError } from '../errors.ts';
import type { LiveToken } from '../oauth/token-verifier.ts';

interface Powers {
  scope: readonly string[];
  authorities: readonly string[];
  auto_approve: readonly string[];
}

/**
 * A client can do no more than who makes it (SECURITY: creating a client). `uaa.admin` and `clients.admin` are the
 * authority over clients itself; everybody else gives away, changes or takes over only what their own token carries,
 * or, acting as a client, what that client may carry for users.
 */
export function refuseBeyondCaller(caller: LiveToken, powers: Powers): void {
  if (isAdmin(caller)) return;
  const own = new Set(caller.scopes);
  const forUsers = caller.user === null ? new Set([...own, ...caller.client.scope]) : own;
  const harmless = (name: string) => name === 'uaa.none' || name.startsWith(`${caller.client.client_id}.`);
  const beyond = [
    ...powers.scope.filter((name) => !forUsers.has(name) && !harmless(name)),
    ...powers.authorities.filter((name) => !own.has(name) && name !== 'uaa.none'),
  ];
  if (beyond.length > 0) {
    throw new UaaError('access_denied', `The caller may not hand on: ${[...new Set(beyond)].join(', ')}`);
  }
  if (powers.auto_approve.length > 0) {
    throw new UaaError('access_denied', 'Only an administrator may approve scopes for the users.');
  }
}

export function isAdmin(caller: LiveToken): boolean {
  return caller.scopes.includes('uaa.admin') || caller.scopes.includes('clients.admin');
}
