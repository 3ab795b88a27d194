import { BAD_CREDENTIALS, UaaError } from '../errors.ts';
import type { UaaApp } from '../http/app.ts';
import { askerOf } from '../http/asker.ts';
import type { Callers } from '../http/gate.ts';
import { INTERNAL_ORIGIN } from '../oauth/password-grant.ts';
import type { LiveToken } from '../oauth/token-verifier.ts';
import type { Services } from '../services.ts';
import { PasswordBody, UserPath } from './body.ts';
import { actor, requireUser } from './operations.ts';
import type { Asker } from './passwords.ts';
import type { User } from './store.ts';

/**
 * `PUT /Users/:id/password`. A user proves the old password and holds `password.write`; an administrator sets it for
 * others without. Refresh tokens from before are refused afterwards.
 */
export function registerPasswordOperation(app: UaaApp, services: Services, callers: Callers): void {
  app.put('/Users/:id/password', { schema: { params: UserPath, body: PasswordBody } }, async (request) => {
    const token = callers.of(request);
    const { password, oldPassword } = request.body;
    const asker = askerOf(request.raw);
    refuseWithoutPasswordWrite(token, request.params.id);
    const user = await requireUser(services, request.params.id);
    refuseForeignOrigin(user);
    const proves = isSelf(token, user.id) || Boolean(oldPassword);
    if (proves) await proveOldPassword(services, user, oldPassword ?? '', asker);
    await refuseSame(services, user, password, asker);
    const weakness = services.passwordPolicy(password);
    if (weakness !== null) throw new UaaError('refused_password', weakness);
    // Whoever proved the old password replaces that one, and none that was set since.
    await services.users.setPassword(user, await services.passwords.hash(password), proves ? 'the same' : 'any');
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
async function proveOldPassword(services: Services, user: User, oldPassword: string, asker: Asker): Promise<void> {
  const attempt = await services.guard.begin({ userName: user.user_name, origin: user.origin, address: asker.address });
  if (await services.passwords.verify(oldPassword, user.password_hash, asker)) return attempt.succeeded();
  await attempt.failed();
  throw new UaaError('unauthorized', BAD_CREDENTIALS, { reason: 'wrong old password' });
}

async function refuseSame(services: Services, user: User, password: string, asker: Asker): Promise<void> {
  if (await services.passwords.verify(password, user.password_hash, asker)) {
    throw new UaaError('refused_password', 'Your new password cannot be the same as the old password.');
  }
}
