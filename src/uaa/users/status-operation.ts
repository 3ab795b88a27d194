import { Type } from 'typebox';
import { UaaError } from '../errors.ts';
import type { UaaApp } from '../http/app.ts';
import type { Callers } from '../http/gate.ts';
import { INTERNAL_ORIGIN } from '../oauth/password-grant.ts';
import type { Services } from '../services.ts';
import { UserPath } from './body.ts';
import { actor, requireUser } from './operations.ts';

const StatusBody = Type.Object({
  locked: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
  passwordChangeRequired: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
});

/** `PATCH /Users/:id/status`: an administrator ends the lock that wrong passwords have brought about. */
export function registerStatusOperation(app: UaaApp, services: Services, callers: Callers): void {
  app.patch('/Users/:id/status', { schema: { params: UserPath, body: StatusBody } }, async (request) => {
    const { locked, passwordChangeRequired } = request.body;
    const user = await requireUser(services, request.params.id);
    if (user.origin !== INTERNAL_ORIGIN) refuse('Can only manage users from the internal user store.');
    if (locked === true) refuse('Accounts become locked by failed logins alone, and cannot be locked by request.');
    if (passwordChangeRequired === true)
      refuse('There is no page on which a user could be made to change the password.');
    if (passwordChangeRequired === false) refuse('The requirement to change a password cannot be removed.');
    if (locked === false) {
      await services.guard.unlock({ userName: user.user_name, origin: user.origin });
      services.audit.info('a user was unlocked', { ...actor(callers, request), user: user.id });
    }
    return { locked: locked ?? undefined };
  });
}

function refuse(description: string): never {
  throw new UaaError('unsupported_change', description);
}
