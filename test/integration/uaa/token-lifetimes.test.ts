import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { decodeJwt, type JWTPayload, SignJWT } from 'jose';
import { InvalidTokenError } from '../../../src/contracts/access-token.ts';
import { MAX_ACCESS_TOKEN_SECONDS } from '../../../src/contracts/token-lifetime.ts';
import { MAX_REFRESH_TOKEN_SECONDS } from '../../../src/uaa/settings.ts';
import { ADMIN_SECRET } from './support.ts';
import { EVERYWHERE, startVerifiers, type Verifiers } from './verifiers.ts';

let world: Verifiers;
let admin: string;
before(async () => {
  world = await startVerifiers();
});
after(() => world.close());
beforeEach(async () => {
  admin = await world.uaa.adminToken();
});

describe('a token signed by the platform itself', () => {
  async function signed(changes: JWTPayload): Promise<string> {
    const { kid, privateKey } = await world.keys.current();
    const claims = decodeJwt((await world.developer()).token);
    return new SignJWT({ ...claims, ...changes })
      .setProtectedHeader({ alg: 'RS256', kid, typ: 'JWT' })
      .sign(privateKey);
  }
  const now = (): number => Math.floor(Date.now() / 1000);
  const TIMES: Record<string, () => JWTPayload> = {
    'that lives a year': () => ({ iat: now(), exp: now() + 31_536_000 }),
    'that lives a second more than any may': () => ({ iat: now(), exp: now() + MAX_ACCESS_TOKEN_SECONDS + 1 }),
    'that was made long ago to live until today': () => ({ iat: 1, exp: now() + 600 }),
    'from the future': () => ({ iat: now() + 600, exp: now() + 1200 }),
    'that does not say when it was made': () => ({ iat: undefined, exp: now() + 600 }),
  };
  for (const [which, times] of Object.entries(TIMES)) {
    test(`SECURITY 14: ${which} is refused by every verifier`, async () => {
      const token = await signed(times());
      assert.deepEqual(await world.admitted(token), []);
      await assert.rejects(world.verifier.verify(token), InvalidTokenError);
      assert.equal((await world.uaa.call('GET', '/userinfo', { token })).status, 401, 'UAA');
    });
  }
  test('of the longest life is taken: the attacks above fail for their own reason', async () => {
    const token = await signed({ iat: now(), exp: now() + MAX_ACCESS_TOKEN_SECONDS });
    assert.deepEqual(await world.admitted(token), EVERYWHERE);
  });
});

test('SECURITY 14: a client chooses a shorter life for its access tokens, and none longer than the bound', async () => {
  const eternal = await world.machine({ access_token_validity: 31_536_000 });
  const { iat, exp } = decodeJwt(eternal.token);
  assert.equal(exp! - iat!, MAX_ACCESS_TOKEN_SECONDS);
  const shown = await world.uaa.call('GET', `/oauth/clients/${eternal.id}`, { token: admin });
  assert.equal(shown.body.access_token_validity, MAX_ACCESS_TOKEN_SECONDS, 'and is told so');
  await world.uaa.db
    .updateTable('clients')
    .set({ access_token_seconds: 31_536_000 })
    .where('client_id', '=', eternal.id)
    .execute();
  const fromBefore = decodeJwt(await world.uaa.clientToken(eternal.id, 'first-secret'));
  assert.equal(fromBefore.exp! - fromBefore.iat!, MAX_ACCESS_TOKEN_SECONDS, 'also where the database has more');
  const brief = decodeJwt((await world.machine({ access_token_validity: 60 })).token);
  assert.equal(brief.exp! - brief.iat!, 60);
});

test('SECURITY 14: no refresh token lives longer than its revocation is remembered, whatever its client asks for', async () => {
  const { uaa } = world;
  const id = 'long-lived';
  const asked = { refresh_token_validity: 315_360_000, access_token_validity: 600 };
  const created = await uaa.call('POST', '/oauth/clients', {
    token: await uaa.clientToken('admin', ADMIN_SECRET),
    json: {
      client_id: id,
      client_secret: 'secret',
      authorized_grant_types: ['password', 'refresh_token'],
      scope: ['openid'],
      ...asked,
    },
  });
  assert.equal(created.body.refresh_token_validity, MAX_REFRESH_TOKEN_SECONDS, 'and is told so');
  await uaa.db.updateTable('clients').set({ refresh_token_seconds: 315_360_000 }).where('client_id', '=', id).execute();
  const user = await world.developer();
  const login = { grant_type: 'password', username: user.name, password: 'a long password' };
  const issued = decodeJwt((await uaa.grant(login, `${id}:secret`)).body.refresh_token);
  assert.equal(issued.exp! - issued.iat!, MAX_REFRESH_TOKEN_SECONDS, 'also where the database has more');
  const refreshed = async (changes: JWTPayload) => {
    const { kid, privateKey } = await world.keys.current();
    const token = await new SignJWT({ ...issued, ...changes })
      .setProtectedHeader({ alg: 'RS256', kid, typ: 'JWT' })
      .sign(privateKey);
    return (await uaa.grant({ grant_type: 'refresh_token', refresh_token: token }, `${id}:secret`)).status;
  };
  assert.equal(await refreshed({}), 200);
  assert.equal(await refreshed({ exp: issued.exp! + 1 }), 401, 'nor is one taken that was made to live longer');
});
