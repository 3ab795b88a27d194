import { UaaError } from '../errors.ts';
import { formOf, type UaaApp } from '../http/app.ts';
import type { Callers } from '../http/gate.ts';
import type { Services } from '../services.ts';
import type { LiveToken } from './token-verifier.ts';

/** `POST /check_token`, `POST /introspect` (RFC 7662) and `GET /userinfo`. */
export function registerIntrospection(app: UaaApp, services: Services, callers: Callers): void {
  app.post('/check_token', async (request) => {
    const form = formOf(request);
    const token = await checkedToken(services, form.get('token') ?? '');
    const wanted = (form.get('scopes') ?? '').split(',').filter((scope) => scope !== '');
    const missing = wanted.filter((scope) => !token.scopes.includes(scope));
    if (missing.length > 0) {
      throw new UaaError('invalid_scope', `Some requested scopes are missing: ${missing.join(',')}`);
    }
    return token.claims;
  });

  app.post('/introspect', async (request) => {
    const shown = formOf(request).require('token');
    try {
      const { claims } = await services.verifier.access(shown);
      return { ...claims, active: true };
    } catch (error) {
      if (error instanceof UaaError && error.kind === 'invalid_token') return { active: false };
      throw error;
    }
  });

  app.get('/userinfo', async (request) => {
    const { user } = callers.of(request);
    if (!user) throw new UaaError('access_denied', 'The token belongs to no user.');
    return {
      user_id: user.id,
      sub: user.id,
      user_name: user.user_name,
      origin: user.origin,
      name: [user.given_name, user.family_name].filter((part) => part !== null).join(' '),
      given_name: user.given_name ?? undefined,
      family_name: user.family_name ?? undefined,
      email: user.email,
      email_verified: user.verified,
      previous_logon_time: user.previous_logon_at?.getTime() ?? null,
    };
  });
}

/** Throws `invalid_checked_token`: 400, since the resource server that asks has proved itself. */
async function checkedToken(services: Services, shown: string): Promise<LiveToken> {
  if (shown === '') throw new UaaError('invalid_checked_token', 'Token parameter must be set');
  try {
    return await services.verifier.access(shown);
  } catch (error) {
    if (!(error instanceof UaaError) || error.kind !== 'invalid_token') throw error;
    throw new UaaError('invalid_checked_token', error.description, { reason: error.reason ?? '', cause: error });
  }
}
