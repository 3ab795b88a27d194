import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeJwt } from 'jose';
import { PERMISSIONS } from '../../../src/uaa/permissions.ts';
import { ADMIN_PASSWORD, ADMIN_SECRET, CC_SECRET, SSH_SECRET, startTestUaa, type TestUaa } from './support.ts';

let uaa: TestUaa;
before(async () => {
  uaa = await startTestUaa();
});
after(() => uaa.stop());

test('a refresh token is good for its own client alone', async () => {
  await uaa.call('POST', '/oauth/clients', {
    token: await uaa.clientToken('admin', ADMIN_SECRET),
    json: {
      client_id: 'other',
      client_secret: 's3cret-enough',
      authorized_grant_types: ['password', 'refresh_token'],
      scope: ['openid'],
    },
  });
  const { body } = await uaa.grant({ grant_type: 'password', username: 'admin', password: ADMIN_PASSWORD });
  const stolen = await uaa.grant(
    { grant_type: 'refresh_token', refresh_token: body.refresh_token },
    'other:s3cret-enough',
  );
  assert.equal(stolen.status, 401);
});

test('SECURITY 14: logging out as the command-line tool does ends both tokens at UAA at once', async () => {
  const { body } = await uaa.grant({ grant_type: 'password', username: 'admin', password: ADMIN_PASSWORD });
  const bystander = await uaa.adminToken();
  assert.equal(decodeJwt(body.access_token)['revocable'], true, 'the tool revokes only what says so');
  for (const token of [body.refresh_token, body.access_token]) {
    const answer = await uaa.call('DELETE', `/oauth/token/revoke/${decodeJwt(token).jti}`, { token });
    assert.equal(answer.status, 200);
  }
  assert.equal((await uaa.call('GET', '/userinfo', { token: body.access_token })).status, 401);
  assert.equal((await uaa.grant({ grant_type: 'refresh_token', refresh_token: body.refresh_token })).status, 401);
  await uaa.restart();
  assert.equal((await uaa.grant({ grant_type: 'refresh_token', refresh_token: body.refresh_token })).status, 401);
  assert.equal((await uaa.call('GET', '/userinfo', { token: bystander })).status, 200);
});

test('SECURITY 14: a user cannot revoke the token of another', async () => {
  await uaa.createUser('nosy');
  const token = await uaa.login('nosy', 'a long password');
  const other = await uaa.adminToken();
  const answer = await uaa.call('DELETE', `/oauth/token/revoke/${decodeJwt(other).jti}`, { token });
  assert.equal(answer.status, 403);
  assert.equal((await uaa.call('GET', '/userinfo', { token: other })).status, 200);
});

test('SECURITY 14: of a deleted user, refresh and access are refused at once', async () => {
  const id = await uaa.createUser('leaver');
  const { body } = await uaa.grant({ grant_type: 'password', username: 'leaver', password: 'a long password' });
  const gone = await uaa.call('DELETE', `/Users/${id}`, {
    token: await uaa.adminToken(),
    headers: { 'content-type': 'application/json' },
  });
  assert.equal(gone.status, 200);
  const refreshed = await uaa.grant({ grant_type: 'refresh_token', refresh_token: body.refresh_token });
  assert.deepEqual([refreshed.status, refreshed.body.error], [401, 'invalid_token']);
  assert.equal((await uaa.call('GET', '/userinfo', { token: body.access_token })).status, 401);
  await uaa.createUser('leaver');
  assert.equal((await uaa.grant({ grant_type: 'refresh_token', refresh_token: body.refresh_token })).status, 401);
});

test('SECURITY 14: after a new password, or once not active, the old refresh token is refused', async () => {
  const id = await uaa.createUser('changer');
  const token = await uaa.adminToken();
  const first = (await uaa.grant({ grant_type: 'password', username: 'changer', password: 'a long password' })).body;
  const changed = await uaa.call('PUT', `/Users/${id}/password`, {
    token,
    json: { password: 'another long password' },
  });
  assert.equal(changed.status, 200);
  assert.equal((await uaa.grant({ grant_type: 'refresh_token', refresh_token: first.refresh_token })).status, 401);
  const second = (await uaa.grant({ grant_type: 'password', username: 'changer', password: 'another long password' }))
    .body;
  await uaa.call('PATCH', `/Users/${id}`, { token, json: { active: false }, headers: { 'if-match': '*' } });
  assert.equal((await uaa.grant({ grant_type: 'refresh_token', refresh_token: second.refresh_token })).status, 401);
  assert.equal(
    (await uaa.grant({ grant_type: 'password', username: 'changer', password: 'another long password' })).status,
    401,
  );
});

test('SECURITY 14: who was made inactive and active again logs in anew: no token of before is good', async () => {
  const id = await uaa.createUser('returner');
  const token = await uaa.adminToken();
  const login = { grant_type: 'password', username: 'returner', password: 'a long password' };
  const before = (await uaa.grant(login)).body;
  const refresh = () => uaa.grant({ grant_type: 'refresh_token', refresh_token: before.refresh_token });
  assert.equal((await refresh()).status, 200);
  for (const active of [false, true]) {
    await uaa.call('PATCH', `/Users/${id}`, { token, json: { active }, headers: { 'if-match': '*' } });
  }
  assert.equal((await refresh()).status, 401);
  assert.equal((await uaa.call('GET', '/userinfo', { token: before.access_token })).status, 401);
  assert.equal((await uaa.grant(login)).status, 200);
});

test('UAA-12: a group that is withdrawn is gone at the next refresh; one that is given is not in old grants', async () => {
  const id = await uaa.createUser('promoted');
  const admin = await uaa.clientToken('admin', ADMIN_SECRET);
  const plain = (await uaa.grant({ grant_type: 'password', username: 'promoted', password: 'a long password' })).body;
  const { body: found } = await uaa.call(
    'GET',
    `/Groups?filter=${encodeURIComponent('displayName eq "cloud_controller.admin"')}`,
    { token: admin },
  );
  const members = `/Groups/${found.resources[0].id}/members`;
  assert.equal(
    (await uaa.call('POST', members, { token: admin, json: { value: id, type: 'USER', origin: 'uaa' } })).status,
    201,
  );
  const stale = await uaa.grant({ grant_type: 'refresh_token', refresh_token: plain.refresh_token });
  assert.doesNotMatch(stale.body.scope, /cloud_controller\.admin/);
  const promoted = (await uaa.grant({ grant_type: 'password', username: 'promoted', password: 'a long password' }))
    .body;
  assert.match(promoted.scope, /cloud_controller\.admin/);
  assert.equal((await uaa.call('DELETE', `${members}/${id}`, { token: admin })).status, 200);
  const demoted = await uaa.grant({ grant_type: 'refresh_token', refresh_token: promoted.refresh_token });
  assert.equal(demoted.status, 200);
  assert.doesNotMatch(demoted.body.scope, /cloud_controller\.admin/);
});

test('SECURITY 15: scope as an array, twice or in excess never widens a grant', async () => {
  await uaa.createUser('modest');
  const base = 'grant_type=password&username=modest&password=a+long+password';
  const send = (form: string) => uaa.call('POST', '/oauth/token', { basic: 'cf:', form });
  for (const scope of [
    'scope=openid&scope=cloud_controller.admin',
    'scope[]=cloud_controller.admin',
    'scope[0]=openid',
    'grant_type=client_credentials',
    'client_id=cf&client_id=admin',
  ]) {
    assert.equal((await send(`${base}&${scope}`)).body.error, 'invalid_request', scope);
  }
  assert.equal((await send(`${base}&scope=cloud_controller.admin`)).body.error, 'invalid_scope');
  assert.equal((await send(`${base}&scope=uaa.resource`)).body.error, 'invalid_scope', 'not a scope of this client');
  assert.equal((await send(`${base}&scope=openid,cloud_controller.admin`)).body.error, 'invalid_scope');
  const mixed = await send(`${base}&scope=openid+cloud_controller.admin+openid`);
  assert.equal(mixed.body.scope, 'openid');
  const narrow = mixed.body.refresh_token;
  const wider = await uaa.grant({
    grant_type: 'refresh_token',
    refresh_token: narrow,
    scope: 'openid cloud_controller.write',
  });
  assert.equal(wider.body.error, 'invalid_scope');
  assert.equal((await uaa.grant({ grant_type: 'refresh_token', refresh_token: narrow })).body.scope, 'openid');
  const client = await uaa.grant(
    { grant_type: 'client_credentials', scope: 'scim.read uaa.admin' },
    `cloud_controller:${CC_SECRET}`,
  );
  assert.equal(client.body.error, 'invalid_scope');
});

test('SECURITY 16: who makes a client hands on no more than they have', async () => {
  const admin = await uaa.clientToken('admin', ADMIN_SECRET);
  const made = await uaa.call('POST', '/oauth/clients', {
    token: admin,
    json: {
      client_id: 'broker',
      client_secret: 'broker-secret',
      authorized_grant_types: ['client_credentials'],
      scope: ['openid'],
      authorities: ['clients.write', 'clients.secret', 'scim.read'],
    },
  });
  assert.equal(made.status, 201);
  assert.equal(made.body.client_secret, undefined);
  const token = await uaa.clientToken('broker', 'broker-secret');
  const create = (changes: Record<string, unknown>) =>
    uaa.call('POST', '/oauth/clients', {
      token,
      json: {
        client_id: `made-${Math.random()}`.replace('0.', ''),
        client_secret: 'x-secret',
        authorized_grant_types: ['client_credentials'],
        ...changes,
      },
    });
  assert.equal((await create({ authorities: ['scim.read'], scope: ['openid'] })).status, 201);
  assert.equal((await create({ authorities: ['uaa.admin'] })).status, 403);
  assert.equal((await create({ authorities: ['scim.read', 'cloud_controller.admin'] })).status, 403);
  assert.equal((await create({ scope: ['cloud_controller.admin'] })).status, 403);
  assert.equal((await create({ scope: ['openid'], autoapprove: true })).status, 403);
  const definition = { authorized_grant_types: ['client_credentials'], authorities: ['scim.read'] };
  assert.equal((await uaa.call('PUT', '/oauth/clients/admin', { token, json: definition })).status, 403);
  assert.equal((await uaa.call('DELETE', '/oauth/clients/admin', { token })).status, 403);
  assert.equal(
    (await uaa.call('PUT', '/oauth/clients/admin/secret', { token, json: { secret: 'mine now' } })).status,
    403,
  );
  const wider = { authorized_grant_types: ['client_credentials'], authorities: ['clients.write', 'uaa.admin'] };
  assert.equal((await uaa.call('PUT', '/oauth/clients/broker', { token, json: wider })).status, 403);
  assert.equal((await uaa.grant({ grant_type: 'client_credentials' }, `admin:${ADMIN_SECRET}`)).status, 200);
});

test('SECURITY 16: scim.write is the power over every group, as in UAA: who holds it, hands on what they lack', async () => {
  const admin = await uaa.clientToken('admin', ADMIN_SECRET);
  const json = {
    client_id: 'user-manager',
    client_secret: 'manager-secret',
    authorized_grant_types: ['client_credentials'],
    authorities: ['scim.read', 'scim.write'],
  };
  assert.equal((await uaa.call('POST', '/oauth/clients', { token: admin, json })).status, 201);
  const manager = await uaa.clientToken('user-manager', 'manager-secret');
  const id = await uaa.createUser('handed-on');
  const filter = encodeURIComponent('displayName eq "cloud_controller.admin"');
  const { body } = await uaa.call('GET', `/Groups?filter=${filter}`, { token: manager });
  const members = `/Groups/${body.resources[0].id}/members`;
  const member = { value: id, type: 'USER', origin: 'uaa' };
  assert.equal((await uaa.call('POST', members, { token: manager, json: member })).status, 201);
  assert.match(
    (await uaa.grant({ grant_type: 'password', username: 'handed-on', password: 'a long password' })).body.scope,
    /cloud_controller\.admin/,
  );
  const plain = await uaa.login('handed-on', 'a long password');
  const other = { ...member, value: await uaa.createUser('not-handed-on') };
  const refused = await uaa.call('POST', members, { token: plain, json: other });
  assert.deepEqual(
    [refused.status, refused.body.error],
    [403, 'insufficient_scope'],
    'the scopes of a group do not give it away',
  );
});

test('SECURITY 20: filters with hostile text find nothing, break nothing and change nothing', async () => {
  const token = await uaa.adminToken();
  const { totalResults } = (await uaa.call('GET', '/Users', { token })).body;
  const hostile = [
    "' OR 1=1 --",
    "'; DROP TABLE users; --",
    '%',
    '_',
    String.raw`\\`,
    '$1',
    '$' + '{1}',
    '\u2028',
    '😀',
    "x' || pg_sleep(5) || '",
    '") or (id pr',
    'NULL',
  ];
  for (const text of hostile) {
    for (const operator of ['eq', 'sw', 'co']) {
      const filter = encodeURIComponent(`userName ${operator} ${JSON.stringify(text)}`);
      const answer = await uaa.call('GET', `/Users?filter=${filter}`, { token });
      assert.equal(answer.status, 200, text);
      assert.equal(answer.body.totalResults, 0, `${operator} ${text}`);
    }
  }
  for (const filter of [
    'password_hash pr',
    'id eq "x" or 1=1',
    'userName eq "a" or userName',
    'passwordHash sw "$2"',
    'users.id pr',
    'userName eq "\\u0000"',
  ]) {
    const answer = await uaa.call('GET', `/Users?filter=${encodeURIComponent(filter)}`, { token });
    assert.deepEqual([answer.status, answer.body.error], [400, 'scim'], filter);
  }
  for (const sortBy of ['password_hash', 'id; DROP TABLE users', '(SELECT 1)']) {
    assert.equal((await uaa.call('GET', `/Users?sortBy=${encodeURIComponent(sortBy)}`, { token })).status, 400);
  }
  assert.equal((await uaa.call('GET', '/Users', { token })).body.totalResults, totalResults);
});

test('SECURITY 20: fuzzed filters are answered with 200 or 400', async () => {
  const token = await uaa.adminToken();
  const parts = [
    'userName',
    'id',
    'active',
    'created',
    'eq',
    'co',
    'pr',
    'gt',
    'and',
    'or',
    'not',
    '(',
    ')',
    '"x"',
    'true',
    '"2020-01-01T00:00:00Z"',
    '"\\"',
    "'",
    ';',
    '%',
    '\\',
    '--',
  ];
  let seed = 7;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed % below;
  };
  for (let round = 0; round < 300; round += 1) {
    const filter = Array.from({ length: 1 + random(9) }, () => parts[random(parts.length)]).join(' ');
    const { status } = await uaa.call('GET', `/Users?filter=${encodeURIComponent(filter)}`, { token });
    assert.ok(status === 200 || status === 400, `${status} for ${filter}`);
  }
});

test('SECURITY 23: a client whose id is a user GUID cannot be made, and would gain nothing', async () => {
  const id = await uaa.createUser('target');
  const admin = await uaa.clientToken('admin', ADMIN_SECRET);
  const definition = {
    client_secret: 'shadow-secret',
    authorized_grant_types: ['client_credentials'],
    authorities: ['scim.me'],
  };
  for (const clientId of [id, id.toUpperCase()]) {
    const refused = await uaa.call('POST', '/oauth/clients', {
      token: admin,
      json: { client_id: clientId, ...definition },
    });
    assert.equal(refused.status, 400, clientId);
  }
  // As if one were there all the same, from before the user.
  const row = await uaa.db.selectFrom('clients').selectAll().where('client_id', '=', 'admin').executeTakeFirstOrThrow();
  await uaa.db
    .insertInto('clients')
    .values({ ...row, client_id: id, authorities: ['scim.me', 'password.write'] })
    .execute();
  const token = await uaa.clientToken(id, ADMIN_SECRET);
  assert.equal((await uaa.call('GET', `/Users/${id}`, { token })).status, 403);
  assert.equal(
    (await uaa.call('PUT', `/Users/${id}/password`, { token, json: { password: 'taken over now' } })).status,
    403,
  );
  const userIdOfClient = decodeJwt(token)['user_id'];
  assert.equal(userIdOfClient, undefined);
  await uaa.db.deleteFrom('clients').where('client_id', '=', id).execute();
  await uaa.call('DELETE', `/Users/${id}`, { token: admin });
  const later = await uaa.call('POST', '/oauth/clients', { token: admin, json: { client_id: id, ...definition } });
  assert.equal(later.status, 400, 'nor with the id of a former user');
});

test('default deny: each operation refuses a caller without a token, and a plain user what is not theirs', async () => {
  await uaa.createUser('plain');
  const token = await uaa.login('plain', 'a long password');
  for (const [operation, requirement] of Object.entries(PERMISSIONS)) {
    const [method = '', path = ''] = operation.split(' ');
    const target = path.replace(/:\w+/g, 'b3b1c1de-0000-4000-8000-000000000000');
    const anonymous = await uaa.call(method, target);
    if (requirement.rule === 'anyone') assert.equal(anonymous.status, 200, operation);
    else assert.equal(anonymous.status, 401, operation);
    if (requirement.rule !== 'scopes' && requirement.rule !== 'own token') continue;
    const scopes = decodeJwt(token)['scope'];
    assert.ok(Array.isArray(scopes));
    const stranger = await uaa.call(method, target, { token });
    if (!requirement.scopes.some((scope) => scopes.includes(scope))) assert.equal(stranger.status, 403, operation);
  }
});

test('SECURITY 28: no password, secret or token is in the log', async () => {
  await uaa.createUser('logged');
  await uaa.login('logged', 'a long password');
  await uaa.grant({ grant_type: 'password', username: 'planted-password-1', password: 'planted-password-2' });
  await uaa.grant({ grant_type: 'client_credentials' }, 'cloud_controller:planted-password-3');
  await uaa.call('GET', '/userinfo', { token: 'planted.password.token' });
  const log = uaa.logLines.join('');
  assert.match(log, /a login failed/);
  assert.match(log, /a user logged in/);
  for (const secret of [
    /planted/,
    new RegExp(ADMIN_PASSWORD),
    new RegExp(ADMIN_SECRET),
    new RegExp(CC_SECRET),
    new RegExp(SSH_SECRET),
    /a long password/,
    /eyJ/,
    /\$2[aby]\$/,
  ]) {
    assert.doesNotMatch(log, secret);
  }
});
