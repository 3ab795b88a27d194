import { BAD_CREDENTIALS, UaaError } from '../errors.ts';
import type { UaaApp } from '../http/app.ts';
import type { Callers } from '../http/gate.ts';
import { INTERNAL_ORIGIN } from '../oauth/password-grant.ts';
import type { LiveToken } from '../oauth/token-verifier.ts';
import type { Services } from '../services.ts';
import { PasswordBody, UserPath } from './body.ts';
import { actor, requireUser } from './operations.ts';
import type { User } from './store.ts';

/**
 * `PUT /Users/:id/password`. A user proves the old password and holds `password.write`; an administrator sets it for
 * others without. Refresh tokens from before are refused afterwards.
 */
export function registerPasswordOperation(app: UaaApp, services: Services, callers: Callers): void {
  app.put('/Users/:id/password', { schema: { params: UserPath, body: PasswordBody } }, async (request) => {
    const token = callers.of(request);
    const { password, oldPassword } = request.body;
    refuseWithoutPasswordWrite(token, request.params.id);
    const user = await requireUser(services, request.params.id);
    refuseForeignOrigin(user);
    if (isSelf(token, user.id) || oldPassword) await proveOldPassword(services, user, oldPassword ?? '');
    await refuseSame(services, user, password);
    const weakness = services.passwordPolicy(password);
    if (weakness !== null) throw new UaaError('refused_password', weakness);
    await services.users.setPassword(user.id, await services.passwords.hash(password));
    services.audit.info('a password was changed', { ...actor(callers, request), user: user.id });
    return { status: 'ok', message: 'password updated' };
  });
}

function isSelf(token: LiveToken, userId: string): boolean {
  return token.user?.id === userId;
}

function refuseWithoutPasswordWrite(token: LiveToken, userId: string): void {
  if (!isSelf(token, userId) || token.scopes.includes('password.write') || token.scopes.includes('uaa.admin')) return;
  throw new UaaError('insufficient_scope', 'Insufficient scope for this resource', {
    extra: { scope: 'password.write' },
  });
}

function refuseForeignOrigin(user: User): void {
  if (user.origin === INTERNAL_ORIGIN) return;
  throw new UaaError('refused_password', 'The password of this user is kept by another identity provider.');
}

/** Guessing through a stolen token is limited like guessing at the login. */
async function proveOldPassword(services: Services, user: User, oldPassword: string): Promise<void> {
  await services.guard.refuseLocked(user.user_name, user.origin);
  if (await services.passwords.verify(oldPassword, user.password_hash)) {
    await services.guard.succeeded(user.user_name, user.origin);
    return;
  }
  await services.guard.failed(user.user_name, user.origin);
  throw new UaaError('unauthorized', BAD_CREDENTIALS, { reason: 'wrong old password' });
}

async function refuseSame(services: Services, user: User, password: string): Promise<void> {
  if (await services.passwords.verify(password, user.password_hash)) {
    throw new UaaError('refused_password', 'Your new password cannot be the same as the old password.');
  }
}
