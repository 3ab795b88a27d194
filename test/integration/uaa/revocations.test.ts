import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import { SSH_SECRET } from './support.ts';
import { done, EVERYWHERE, PASSWORD, startVerifiers, type Verifiers } from './verifiers.ts';

let world: Verifiers;
let admin: string;
before(async () => {
  world = await startVerifiers();
});
after(() => world.close());
beforeEach(async () => {
  admin = await world.uaa.adminToken();
});

async function groupId(displayName: string): Promise<string> {
  const filter = encodeURIComponent(`displayName eq "${displayName}"`);
  return (await world.uaa.call('GET', `/Groups?filter=${filter}`, { token: admin })).body.resources[0].id;
}

const ENDS: Record<string, (user: { id: string; token: string }) => Promise<void>> = {
  'their deletion': ({ id }) => done(world.uaa.call('DELETE', `/Users/${id}`, { token: admin })),
  'their deactivation': ({ id }) =>
    done(
      world.uaa.call('PATCH', `/Users/${id}`, { token: admin, json: { active: false }, headers: { 'if-match': '*' } }),
    ),
  'a new password': ({ id }) =>
    done(world.uaa.call('PUT', `/Users/${id}/password`, { token: admin, json: { password: 'another long password' } })),
  'the revocation of the token': ({ token }) =>
    done(world.uaa.call('DELETE', `/oauth/token/revoke/${decodeJwt(token).jti}`, { token })),
  'the revocation of it by an administrator': ({ token }) =>
    done(world.uaa.call('DELETE', `/oauth/token/revoke/${decodeJwt(token).jti}`, { token: admin })),
  'the revocation of all of theirs': ({ id }) =>
    done(world.uaa.call('GET', `/oauth/token/revoke/user/${id}`, { token: admin })),
  'a statement of an operator in the database': async ({ id }) => {
    await world.uaa.db.deleteFrom('users').where('id', '=', id).execute();
  },
};
for (const [what, end] of Object.entries(ENDS)) {
  test(`SECURITY 14: after ${what}, a user's access token is refused by every verifier within 5 s`, async () => {
    const [user, bystander] = [await world.developer(), await world.developer()];
    assert.deepEqual(await world.admitted(user.token), EVERYWHERE);
    await end(user);
    await world.refusedWithinTheBound(user.token);
    assert.deepEqual(await world.admitted(bystander.token), EVERYWHERE, 'nobody else loses anything');
  });
}

test('SECURITY 14: who changes their password is let in with the token of the new one, at once', async () => {
  const user = await world.developer();
  for (const [from, to] of [
    [PASSWORD, 'a second password'],
    ['a second password', 'a third password'],
  ] as const) {
    const token = await world.uaa.login(user.name, from);
    await done(
      world.uaa.call('PUT', `/Users/${user.id}/password`, { token, json: { oldPassword: from, password: to } }),
    );
    world.revocations.wake();
    assert.deepEqual(await world.admitted(await world.uaa.login(user.name, to)), EVERYWHERE);
    await world.refusedWithinTheBound(token);
  }
});

test('SECURITY 14: a code that was given before a new password is no way around it', async () => {
  const user = await world.developer();
  const code = async (token: string): Promise<string> => {
    const query = 'response_type=code&client_id=ssh-proxy';
    const answer = await world.uaa.call('GET', `/oauth/authorize?${query}`, { token });
    return new URL(answer.headers.get('location') ?? '').searchParams.get('code') ?? '';
  };
  const redeem = (text: string) => world.uaa.uaa.redeemCode({ id: 'ssh-proxy', secret: SSH_SECRET }, text, '192.0.2.1');
  assert.notEqual(await redeem(await code(user.token)), null, 'otherwise it is good');
  const kept = await code(user.token);
  await done(
    world.uaa.call('PUT', `/Users/${user.id}/password`, { token: admin, json: { password: 'another long password' } }),
  );
  assert.equal(await redeem(kept), null);
});

const CLIENT_ENDS: Record<string, (id: string) => Promise<void>> = {
  'its deletion': (id) => done(world.uaa.call('DELETE', `/oauth/clients/${id}`, { token: admin })),
  'a new secret': (id) =>
    done(world.uaa.call('PUT', `/oauth/clients/${id}/secret`, { token: admin, json: { secret: 'second-secret' } })),
  'the revocation of all of its own': (id) =>
    done(world.uaa.call('GET', `/oauth/token/revoke/client/${id}`, { token: admin })),
  'the loss of an authority': (id) =>
    done(
      world.uaa.call('PUT', `/oauth/clients/${id}`, {
        token: admin,
        json: { authorized_grant_types: ['client_credentials'], authorities: ['cloud_controller.read'] },
      }),
    ),
};
for (const [what, end] of Object.entries(CLIENT_ENDS)) {
  test(`SECURITY 14: after ${what}, a client's access token is refused by every verifier within 5 s`, async () => {
    const [own, bystander] = [await world.machine(), await world.machine()];
    assert.deepEqual(await world.admitted(own.token), EVERYWHERE);
    await end(own.id);
    await world.refusedWithinTheBound(own.token);
    assert.deepEqual(await world.admitted(bystander.token), EVERYWHERE, 'nobody else loses anything');
  });
}

test('SECURITY 14: a client that is made anew under a former id does not revive its tokens, and gets its own', async () => {
  const own = await world.machine();
  await done(world.uaa.call('DELETE', `/oauth/clients/${own.id}`, { token: admin }));
  await done(
    world.uaa.call('POST', '/oauth/clients', {
      token: admin,
      json: {
        client_id: own.id,
        client_secret: 'first-secret',
        authorized_grant_types: ['client_credentials'],
        authorities: ['cloud_controller.admin', 'cloud_controller.read', 'cloud_controller.write'],
      },
    }),
  );
  world.revocations.wake();
  assert.deepEqual(await world.admitted(await world.uaa.clientToken(own.id, 'first-secret')), EVERYWHERE);
  await world.refusedWithinTheBound(own.token);
});

test('a second secret ends no token, and the end of the first ends those made under it alone', async () => {
  const own = await world.machine();
  const change = (json: Record<string, unknown>) =>
    done(world.uaa.call('PUT', `/oauth/clients/${own.id}/secret`, { token: admin, json }));
  await change({ secret: 'second-secret', changeMode: 'ADD' });
  const between = await world.uaa.clientToken(own.id, 'second-secret');
  await pause(1_500);
  assert.deepEqual(await world.admitted(own.token), EVERYWHERE);
  await change({ changeMode: 'DELETE' });
  await world.refusedWithinTheBound(own.token);
  assert.deepEqual(await world.admitted(between), EVERYWHERE);
});

test('UAA-12: a scope that is withdrawn with a group, also one around or one deleted, is gone within 5 s, and the refresh token stays', async () => {
  const scopes = ['cloud_controller.admin', 'team.inner', 'team.gone'];
  const make = async (displayName: string, members: string[]) => {
    const json = { displayName, members: members.map((value) => ({ value })) };
    return (await world.uaa.call('POST', '/Groups', { token: admin, json })).body.id as string;
  };
  const users = [await world.developer(), await world.developer(), await world.developer()] as const;
  const [direct, around, gone] = users;
  const outer = await groupId('cloud_controller.admin');
  const inner = await make(scopes[1]!, [around.id]);
  const deleted = await make(scopes[2]!, [gone.id]);
  const members = `/Groups/${outer}/members`;
  for (const [value, type] of [
    [direct.id, 'USER'],
    [inner, 'GROUP'],
    [deleted, 'GROUP'],
  ]) {
    await done(world.uaa.call('POST', members, { token: admin, json: { value, type } }));
  }
  const logins = await Promise.all(
    users.map(async ({ name }) => {
      const { body } = await world.uaa.grant({ grant_type: 'password', username: name, password: PASSWORD });
      assert.match(body.scope, /cloud_controller\.admin/);
      assert.deepEqual(await world.admitted(body.access_token), EVERYWHERE);
      return body as { access_token: string; refresh_token: string };
    }),
  );
  await done(world.uaa.call('DELETE', `${members}/${direct.id}`, { token: admin }));
  await done(world.uaa.call('DELETE', `${members}/${inner}`, { token: admin }));
  await done(world.uaa.call('DELETE', `/Groups/${deleted}`, { token: admin }));
  for (const { access_token: access, refresh_token: refresh } of logins) {
    await world.refusedWithinTheBound(access);
    const renewed = await world.uaa.grant({ grant_type: 'refresh_token', refresh_token: refresh });
    assert.equal(renewed.status, 200);
    assert.doesNotMatch(renewed.body.scope, /cloud_controller\.admin/);
    assert.deepEqual(await world.admitted(renewed.body.access_token), EVERYWHERE, 'as a space developer still');
  }
});

test('SECURITY 14: all tokens of a user or client means the refresh tokens, too', async () => {
  const user = await world.developer();
  const login = () => world.uaa.grant({ grant_type: 'password', username: user.name, password: PASSWORD });
  const renewed = async (refreshToken: string): Promise<unknown[]> => {
    const { status, body } = await world.uaa.grant({ grant_type: 'refresh_token', refresh_token: refreshToken });
    return [status, body.error];
  };
  const { refresh_token: ofUser } = (await login()).body;
  assert.equal((await world.uaa.call('GET', `/oauth/token/revoke/user/${user.id}`, { token: user.token })).status, 200);
  assert.deepEqual(await renewed(ofUser), [401, 'invalid_token']);
  const { refresh_token: ofClient } = (await login()).body;
  assert.deepEqual(await renewed(ofClient), [200, undefined]);
  const other = await world.developer();
  const foreign = await world.uaa.call('GET', `/oauth/token/revoke/user/${other.id}`, { token: user.token });
  assert.equal(foreign.status, 401, 'his own token is revoked as well');
  const stranger = await world.uaa.call('GET', `/oauth/token/revoke/user/${user.id}`, { token: other.token });
  assert.equal(stranger.status, 403);
  const asked = await world.uaa.call('GET', '/oauth/token/revoke/client/cf', { token: other.token });
  assert.equal(asked.status, 403);
  assert.equal((await world.uaa.call('GET', '/oauth/token/revoke/user/none', { token: admin })).status, 404);
  assert.equal((await world.uaa.call('GET', '/oauth/token/revoke/client/none', { token: admin })).status, 404);
  await done(world.uaa.call('GET', '/oauth/token/revoke/client/cf', { token: admin }));
  assert.deepEqual(await renewed(ofClient), [401, 'invalid_token']);
});
