import type { Client } from '../clients/store.ts';
import { BAD_CREDENTIALS, UaaError } from '../errors.ts';
import type { Form } from '../http/form.ts';
import type { Services } from '../services.ts';
import type { Login } from '../users/login-guard.ts';
import type { Asker } from '../users/passwords.ts';
import type { User } from '../users/store.ts';
import { requestedScopes, userScopes } from './scopes.ts';
import type { TokenResponse } from './tokens.ts';

/** The internal store is the only origin that checks passwords itself. */
export const INTERNAL_ORIGIN = 'uaa';

/** RFC 6749 section 4.3: a user's name and password for tokens. */
export async function passwordGrant(
  services: Services,
  client: Client,
  form: Form,
  asker: Asker,
): Promise<TokenResponse> {
  refusePasscode(form);
  const origin = originHint(form.get('login_hint'));
  const userName = form.require('username');
  const password = form.require('password');
  const user = await checkPassword(services, client, { userName, origin, address: asker.address }, password, asker);
  const groups = await services.groups.namesOfUser(user.id);
  const scopes = userScopes(client, groups, requestedScopes(form.get('scope')));
  await services.users.recordLogon(user.id);
  services.audit.info('a user logged in', { user: user.id, userName: user.user_name, client: client.client_id });
  return services.tokens.forUser(client, user, scopes, 'password');
}

/** The same answer and the same work for a wrong password, a user that does not exist and one that may not log in. */
async function checkPassword(
  services: Services,
  client: Client,
  login: Login,
  password: string,
  asker: Asker,
): Promise<User> {
  const { userName, origin } = login;
  const attempt = await services.guard.begin(login);
  const user = await services.users.byName(userName, origin);
  const right = await services.passwords.verify(password, user?.password_hash ?? null, asker);
  if (!user || !right || !user.active) {
    // The name of an unknown user may be a password typed into the wrong field: it is not logged.
    services.audit.warn('a login failed', { user: user?.id ?? null, origin, client: client.client_id });
    await attempt.failed();
    throw new UaaError('unauthorized', BAD_CREDENTIALS);
  }
  await attempt.succeeded();
  return user;
}

/** One-time codes of the login page, which `cf login --sso` asks for: none are given out here, so that none is good. */
function refusePasscode(form: Form): void {
  const passcode = form.get('passcode');
  if (passcode === null) return;
  throw new UaaError('unauthorized', passcode === '' ? 'Passcode information is missing.' : 'Invalid passcode');
}

/** `{"origin":"uaa"}`. Throws `unauthorized` for an origin that has no password login here. */
function originHint(hint: string | null): string {
  if (hint === null || hint === '') return INTERNAL_ORIGIN;
  let origin: unknown;
  try {
    const value: unknown = JSON.parse(hint);
    origin = value !== null && typeof value === 'object' && 'origin' in value ? value.origin : undefined;
  } catch {
    origin = undefined;
  }
  if (origin === INTERNAL_ORIGIN) return INTERNAL_ORIGIN;
  throw new UaaError(
    'unauthorized',
    'The origin provided in the login_hint does not match an active Identity Provider, that supports password grant.',
  );
}
