import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { AccessTokenVerifier } from '../../../src/contracts/access-token.ts';
import { nothingRevoked } from '../../support/revocations.ts';
import { ADMIN_PASSWORD, ADMIN_SECRET, CC_SECRET, ISSUER, startTestUaa, type TestUaa } from './support.ts';

let uaa: TestUaa;
before(async () => {
  uaa = await startTestUaa();
});
after(() => uaa.stop());

const passwordLogin = { grant_type: 'password', username: 'admin', password: ADMIN_PASSWORD };

test('UAA-08: the client cf, without a secret, gets tokens for a user by the password grant', async () => {
  const { status, body, headers } = await uaa.grant(passwordLogin);
  assert.equal(status, 200);
  assert.equal(headers.get('cache-control'), 'no-store');
  assert.equal(body.token_type, 'bearer');
  assert.equal(body.expires_in, 1200);
  const header = decodeProtectedHeader(body.access_token);
  assert.equal(header.alg, 'RS256');
  const { body: published } = await uaa.call('GET', '/token_keys');
  assert.equal(published.keys[0].kid, header.kid);
  assert.equal(published.keys[0].d, undefined, 'no private part is published');

  const claims = decodeJwt(body.access_token);
  for (const name of [
    'user_name',
    'user_id',
    'origin',
    'email',
    'cid',
    'client_id',
    'azp',
    'grant_type',
    'zid',
    'rev_sig',
    'jti',
    'sub',
  ]) {
    assert.equal(typeof claims[name], 'string', name);
  }
  assert.equal(claims.iss, ISSUER);
  assert.equal(claims['user_name'], 'admin');
  assert.equal(claims['origin'], 'uaa');
  assert.equal(claims.sub, claims['user_id']);
  assert.equal(claims['client_id'], 'cf');
  assert.equal(claims['grant_type'], 'password');
  assert.equal(claims.exp! - claims.iat!, 1200);
  assert.ok(Array.isArray(claims['scope']) && claims['scope'].includes('cloud_controller.admin'));
  assert.ok(
    Array.isArray(claims.aud) &&
      ['cf', 'cloud_controller', 'openid', 'scim', 'uaa'].every((name) => claims.aud!.includes(name)),
  );

  const refresh = decodeJwt(body.refresh_token);
  assert.match(refresh.jti!, /-r$/);
  assert.equal(refresh.exp! - refresh.iat!, 2_592_000);
});

test('UAA-10: what the Cloud Controller checks with is what UAA signs', async () => {
  const verifier = new AccessTokenVerifier({
    issuer: ISSUER,
    audience: 'cloud_controller',
    keys: () => uaa.uaa.tokenKeys(),
    revocations: nothingRevoked(),
  });
  const token = await verifier.verify(await uaa.adminToken());
  assert.equal(token.userName, 'admin');
  assert.equal(token.origin, 'uaa');
  assert.ok(token.scopes.has('cloud_controller.admin'));
});

test('a wrong password and an unknown user get the same answer', async () => {
  const wrong = await uaa.grant({ ...passwordLogin, password: 'wrong' });
  const unknown = await uaa.grant({ ...passwordLogin, username: 'nobody' });
  assert.equal(wrong.status, 401);
  assert.deepEqual(wrong.body, { error: 'unauthorized', error_description: 'Bad credentials' });
  assert.deepEqual([unknown.status, unknown.body], [wrong.status, wrong.body]);
});

test('a refresh token gives a new access token and stays the same', async () => {
  const first = (await uaa.grant(passwordLogin)).body;
  const { status, body } = await uaa.grant({ grant_type: 'refresh_token', refresh_token: first.refresh_token });
  assert.equal(status, 200);
  assert.notEqual(body.access_token, first.access_token);
  assert.equal(body.refresh_token, first.refresh_token);
  assert.equal(body.scope, first.scope);
  assert.equal(decodeJwt(body.access_token)['user_name'], 'admin');
});

test('client credentials are taken by Basic and in the body', async () => {
  for (const answer of [
    await uaa.grant({ grant_type: 'client_credentials' }, `cloud_controller:${CC_SECRET}`),
    await uaa.grant(
      { grant_type: 'client_credentials', client_id: 'cloud_controller', client_secret: CC_SECRET },
      null,
    ),
  ]) {
    assert.equal(answer.status, 200);
    const claims = decodeJwt(answer.body.access_token);
    assert.equal(claims.sub, 'cloud_controller');
    assert.equal(claims['client_id'], 'cloud_controller');
    assert.equal(claims['user_id'], undefined);
    assert.equal(claims['user_name'], undefined);
    assert.deepEqual(claims['authorities'], claims['scope']);
    assert.equal(answer.body.refresh_token, undefined);
  }
  const refused = await uaa.grant({ grant_type: 'client_credentials' }, 'cloud_controller:wrong');
  assert.equal(refused.status, 401);
  assert.deepEqual(refused.body, { error: 'invalid_client', error_description: 'Bad credentials' });
});

test('grants that are unknown, unregistered or lack a parameter are refused by their codes', async () => {
  assert.equal((await uaa.grant({ grant_type: 'magic' })).body.error, 'unsupported_grant_type');
  assert.equal((await uaa.grant({ grant_type: 'client_credentials' })).body.error, 'invalid_client');
  assert.equal((await uaa.grant({ grant_type: 'password', username: 'admin' })).body.error, 'invalid_request');
  assert.equal((await uaa.grant({ username: 'admin' })).body.error, 'invalid_request');
  assert.equal((await uaa.grant(passwordLogin, null)).status, 401);
});

test('the origin hint of the command-line tool is understood', async () => {
  const query = (origin: string) => `?login_hint=${encodeURIComponent(JSON.stringify({ origin }))}`;
  assert.equal((await uaa.grant(passwordLogin, 'cf:', query('uaa'))).status, 200);
  const { status, body } = await uaa.grant(passwordLogin, 'cf:', query('ldap'));
  assert.equal(status, 401);
  assert.match(body.error_description, /login_hint does not match/);
});

test('SECURITY 28: what belongs into the body is refused in the address, where logs and histories keep it', async () => {
  for (const [path, query] of [
    ['/oauth/token', `username=admin&password=${ADMIN_PASSWORD}`],
    ['/oauth/token', `grant_type=password&client_id=cf&login_hint=x`],
    ['/oauth/token', 'client_secret=x'],
    ['/check_token', 'token=x.y.z'],
    ['/introspect', 'token=x.y.z'],
  ]) {
    const basic = path === '/oauth/token' ? 'cf:' : `cloud_controller:${CC_SECRET}`;
    const { status, body } = await uaa.call('POST', `${path}?${query}`, { basic, form: passwordLogin });
    assert.deepEqual([status, body.error], [406, 'query_string_not_allowed'], `${path}?${query}`);
  }
  const asked = await uaa.call('GET', `/oauth/token?password=${ADMIN_PASSWORD}`);
  assert.deepEqual([asked.status, asked.body.error], [405, 'method_not_allowed']);
  assert.equal(asked.headers.get('allow'), 'POST');
  // As go-uaa sends it with a refresh token.
  assert.equal((await uaa.grant(passwordLogin, 'cf:', '?token_format=jwt')).status, 200);
  assert.doesNotMatch(uaa.logLines.join(''), new RegExp(ADMIN_PASSWORD));
});

test('a one-time code is refused: none are given out', async () => {
  const answer = await uaa.grant({ grant_type: 'password', passcode: 'Ab3xYz90Qw' });
  assert.deepEqual(
    [answer.status, answer.body],
    [401, { error: 'unauthorized', error_description: 'Invalid passcode' }],
  );
});

test('what a resource server shows in vain is 400, since it has proved itself; the missing scopes are named', async () => {
  const check = (form: Record<string, string>) =>
    uaa.call('POST', '/check_token', { basic: `cloud_controller:${CC_SECRET}`, form });
  const { body } = await uaa.grant(passwordLogin);
  const shown: Record<string, string>[] = [{ token: 'x.y.z' }, { token: body.refresh_token }, { token: '' }, {}];
  for (const form of shown) {
    const answer = await check(form);
    assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_token'], JSON.stringify(form));
    assert.equal(answer.headers.get('www-authenticate'), null);
  }
  const missing = await check({ token: body.access_token, scopes: 'openid,a.b,c.d' });
  assert.deepEqual([missing.status, missing.body.error], [400, 'invalid_scope']);
  assert.match(missing.body.error_description, /missing: a\.b,c\.d$/);
});

test('a resource server checks tokens; a client without uaa.resource may not', async () => {
  const token = await uaa.adminToken();
  const checked = await uaa.call('POST', '/check_token', { basic: `cloud_controller:${CC_SECRET}`, form: { token } });
  assert.equal(checked.status, 200);
  assert.equal(checked.body.user_name, 'admin');
  const refused = await uaa.call('POST', '/check_token', { basic: `admin:${ADMIN_SECRET}`, form: { token } });
  assert.equal(refused.status, 403);
  const nobody = await uaa.call('POST', '/check_token', { form: { token } });
  assert.equal(nobody.status, 401);
  const active = await uaa.call('POST', '/introspect', {
    basic: `cloud_controller:${CC_SECRET}`,
    form: { token: 'x.y.z' },
  });
  assert.deepEqual(active.body, { active: false });
});

test('userinfo tells a user who they are', async () => {
  const { body } = await uaa.call('GET', '/userinfo', { token: await uaa.adminToken() });
  assert.equal(body.user_name, 'admin');
  assert.equal(body.sub, body.user_id);
});

test('tokens, users and keys survive a restart', async () => {
  const before = (await uaa.grant(passwordLogin)).body;
  await uaa.restart();
  assert.equal((await uaa.call('GET', '/userinfo', { token: before.access_token })).status, 200);
  assert.equal((await uaa.grant({ grant_type: 'refresh_token', refresh_token: before.refresh_token })).status, 200);
  const { body } = await uaa.call('GET', '/token_keys');
  assert.equal(body.keys.length, 1);
});

test('a new signing key is published before it signs, and tokens of the former stay good until it is dropped', async () => {
  const old = await uaa.adminToken();
  const kid = await uaa.uaa.rotateSigningKey();
  const { body } = await uaa.call('GET', '/token_keys');
  assert.equal(body.keys.length, 2);
  assert.notEqual(decodeProtectedHeader(await uaa.adminToken()).kid, kid);
  uaa.ahead(20);
  const renewed = await uaa.adminToken();
  assert.equal(decodeProtectedHeader(renewed).kid, kid);
  assert.equal((await uaa.call('GET', '/userinfo', { token: old })).status, 200);
  await assert.rejects(uaa.uaa.dropSigningKey(kid), /signs/);
  await uaa.uaa.dropSigningKey(decodeProtectedHeader(old).kid!);
  assert.equal((await uaa.call('GET', '/userinfo', { token: old })).status, 401);
  assert.equal((await uaa.call('GET', '/userinfo', { token: renewed })).status, 200);
});

test('the private signing keys lie sealed in the database', async () => {
  const rows = await uaa.db.selectFrom('signing_keys').selectAll().execute();
  assert.ok(rows.length > 0);
  for (const row of rows) assert.ok(!row.private_key_sealed.toString('latin1').includes('PRIVATE KEY'));
});
