import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { decodeJwt } from 'jose';
import { ADMIN_SECRET, SSH_SECRET, startTestUaa, type TestUaa, URLS } from './support.ts';

let uaa: TestUaa;
before(async () => {
  uaa = await startTestUaa();
});
after(() => uaa.stop());

const SSH = `ssh-proxy:${SSH_SECRET}`;

async function authorize(token: string, parameters: Record<string, string> = {}) {
  const query = new URLSearchParams({ response_type: 'code', client_id: 'ssh-proxy', ...parameters });
  return uaa.call('GET', `/oauth/authorize?${query}`, { token });
}

async function codeFor(token: string, parameters: Record<string, string> = {}): Promise<string> {
  const answer = await authorize(token, parameters);
  assert.equal(answer.status, 302, JSON.stringify(answer.body));
  return new URL(answer.headers.get('location')!).searchParams.get('code')!;
}

const redeem = (code: string, more: Record<string, string> = {}, basic = SSH) =>
  uaa.grant({ grant_type: 'authorization_code', code, ...more }, basic);

test('cf ssh gets a code for the SSH proxy, which learns from it who comes', async () => {
  await uaa.createUser('shell');
  const answer = await authorize(await uaa.login('shell', 'a long password'), { state: 'a b' });
  const location = new URL(answer.headers.get('location')!);
  assert.equal(location.origin + location.pathname, `${URLS.uaa}/login`);
  assert.equal(location.searchParams.get('state'), 'a b');
  const { status, body } = await redeem(location.searchParams.get('code')!);
  assert.equal(status, 200);
  const claims = decodeJwt(body.access_token);
  assert.deepEqual(
    [claims['user_name'], claims['client_id'], claims['grant_type']],
    ['shell', 'ssh-proxy', 'authorization_code'],
  );
  assert.deepEqual(claims['scope'], ['cloud_controller.read', 'cloud_controller.write', 'openid']);
});

test('SECURITY 17: a code is good once, for five minutes and for its client', async () => {
  const token = await uaa.adminToken();
  const code = await codeFor(token);
  const answers = await Promise.all(Array.from({ length: 5 }, () => redeem(code)));
  assert.equal(answers.filter((answer) => answer.status === 200).length, 1);
  const late = await codeFor(token);
  uaa.ahead(301);
  assert.equal((await redeem(late)).body.error, 'invalid_grant');
  uaa.ahead(0);
  await uaa.call('POST', '/oauth/clients', {
    token: await uaa.clientToken('admin', ADMIN_SECRET),
    json: {
      client_id: 'thief',
      client_secret: 'thief-secret',
      authorized_grant_types: ['authorization_code'],
      scope: ['openid'],
      redirect_uri: ['https://thief.example.test/'],
    },
  });
  const stolen = await codeFor(token);
  assert.equal((await redeem(stolen, {}, 'thief:thief-secret')).body.error, 'invalid_grant');
  assert.equal((await redeem('guess')).body.error, 'invalid_grant');
  assert.equal((await authorize(token, { client_id: 'thief' })).status, 400, 'a client that users must approve');
});

const REVOCATIONS: Record<string, (token: string, userId: string) => Promise<unknown>> = {
  'the token that it was asked for with': async (token) =>
    uaa.call('DELETE', `/oauth/token/revoke/${decodeJwt(token).jti}`, { token }),
  'all tokens of its user': async (_token, userId) =>
    uaa.call('GET', `/oauth/token/revoke/user/${userId}`, { token: await uaa.adminToken() }),
  'all tokens of the client of that token': async () =>
    uaa.call('GET', '/oauth/token/revoke/client/cf', { token: await uaa.clientToken('admin', ADMIN_SECRET) }),
};
for (const [what, revoke] of Object.entries(REVOCATIONS)) {
  test(`SECURITY 14: a code opens nothing once ${what} is revoked`, async () => {
    const name = `revoked-${what.length}`;
    const id = await uaa.createUser(name);
    const token = await uaa.login(name, 'a long password');
    assert.equal((await redeem(await codeFor(token))).status, 200, 'otherwise it is good');
    const code = await codeFor(token);
    await revoke(token, id);
    assert.equal((await uaa.call('GET', '/userinfo', { token })).status, 401);
    assert.equal((await redeem(code)).body.error, 'invalid_grant');
    assert.equal((await redeem(await codeFor(await uaa.login(name, 'a long password')))).status, 200);
  });
}

test('SECURITY 17: the address is compared letter by letter', async () => {
  const token = await uaa.adminToken();
  for (const address of [
    'https://evil.test/',
    `${URLS.uaa}/login/`,
    `${URLS.uaa}/login?x=1`,
    `${URLS.uaa}/LOGIN`,
    `${URLS.uaa}/login/../evil`,
  ]) {
    const answer = await authorize(token, { redirect_uri: address });
    assert.equal(answer.status, 400, address);
    assert.equal(answer.headers.get('location'), null);
  }
  const code = await codeFor(token, { redirect_uri: `${URLS.uaa}/login` });
  assert.equal((await redeem(code)).body.error, 'invalid_grant', 'the address must be shown again');
  const shown = await codeFor(token, { redirect_uri: `${URLS.uaa}/login` });
  assert.equal((await redeem(shown, { redirect_uri: `${URLS.uaa}/login` })).status, 200);
});

test('SECURITY 17: a code with a challenge needs its verifier', async () => {
  const token = await uaa.adminToken();
  const verifier = 'v'.repeat(43);
  const challenge = {
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  };
  assert.equal((await redeem(await codeFor(token, challenge), { code_verifier: verifier })).status, 200);
  assert.equal((await redeem(await codeFor(token, challenge), { code_verifier: 'w'.repeat(43) })).status, 400);
  assert.equal((await redeem(await codeFor(token, challenge))).status, 400);
  assert.equal((await redeem(await codeFor(token), { code_verifier: verifier })).status, 400);
  assert.equal((await authorize(token, { ...challenge, code_challenge_method: 'plain' })).status, 400);
});

test('a code carries no more than the token that asked for it, and none is given to clients', async () => {
  const narrow = await uaa.grant({
    grant_type: 'password',
    username: 'admin',
    password: 'correct horse battery',
    scope: 'openid',
  });
  const { body } = await redeem(await codeFor(narrow.body.access_token));
  assert.equal(body.scope, 'openid');
  const client = await uaa.clientToken('admin', ADMIN_SECRET);
  assert.equal((await authorize(client)).status, 403);
  assert.equal((await uaa.call('GET', '/oauth/authorize?response_type=code&client_id=ssh-proxy')).status, 401);
});
