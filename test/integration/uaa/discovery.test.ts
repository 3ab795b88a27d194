import assert from 'node:assert/strict';
import { createPublicKey, createVerify } from 'node:crypto';
import { after, before, test } from 'node:test';
import { decodeJwt } from 'jose';
import { ADMIN_PASSWORD, ISSUER, startTestUaa, type TestUaa, URLS } from './support.ts';

let uaa: TestUaa;
before(async () => {
  uaa = await startTestUaa();
});
after(() => uaa.stop());

const KEYS = ['/token_key', '/token_keys'];

test('the public keys are published in PEM, too, and it is the same key', async () => {
  const token = await uaa.adminToken();
  const [signed, signature] = [token.slice(0, token.lastIndexOf('.')), token.split('.')[2]!];
  const { body: one } = await uaa.call('GET', '/token_key');
  const { body: all } = await uaa.call('GET', '/token_keys');
  assert.deepEqual(all.keys, [one]);
  assert.match(one.value, /^-----BEGIN PUBLIC KEY-----\n[\w+/=\n]+\n-----END PUBLIC KEY-----$/);
  const key = createPublicKey(one.value);
  assert.ok(createVerify('RSA-SHA256').update(signed).verify(key, signature, 'base64url'));
  const { n, e } = key.export({ format: 'jwk' });
  assert.deepEqual([one.n, one.e, one.kty, one.alg, one.use], [n, e, 'RSA', 'RS256', 'sig']);
});

test('who has the keys already is told so, until there is another', async () => {
  const ask = (path: string, tag?: string) =>
    uaa.call('GET', path, tag === undefined ? {} : { headers: { 'if-none-match': tag } });
  const tags = new Map<string, string>();
  for (const path of KEYS) {
    const tag = (await ask(path)).headers.get('etag')!;
    assert.match(tag, /^"\w+"$/);
    for (const known of [tag, tag.replaceAll('"', ''), `W/${tag}`, `"other", ${tag}`, '*']) {
      const answer = await ask(path, known);
      assert.deepEqual([answer.status, answer.body, answer.headers.get('etag')], [304, '', tag], `${path} ${known}`);
    }
    assert.equal((await ask(path, '"other"')).status, 200);
    tags.set(path, tag);
  }
  await uaa.restart();
  for (const [path, tag] of tags) assert.equal((await ask(path, tag)).status, 304, 'in every process alike');
  await uaa.uaa.rotateSigningKey();
  assert.equal((await ask('/token_keys', tags.get('/token_keys'))).status, 200, 'a new key is told at once');
  assert.equal((await ask('/token_key', tags.get('/token_key'))).status, 304, 'it does not sign yet');
  uaa.ahead(20);
  assert.equal((await ask('/token_key', tags.get('/token_key'))).status, 200);
  uaa.ahead(0);
});

test('login page as JSON: prompts, version and links, and nothing that is not there', async () => {
  for (const path of ['/login', '/info']) {
    const { status, body } = await uaa.call('GET', path);
    assert.equal(status, 200);
    assert.deepEqual(body.prompts, { username: ['text', 'Email'], password: ['password', 'Password'] });
    assert.match(body.app.version, /^\d+\.\d+\.\d+$/);
    assert.deepEqual(body.links, { uaa: URLS.uaa, login: URLS.login });
    assert.deepEqual(
      [body.zone_name, body.entityID, body.idpDefinitions, body.commit_id, typeof body.timestamp],
      ['uaa', 'login.example.test', {}, 'UNKNOWN', 'string'],
    );
  }
});

test('the metadata claims endpoints, grants and claims that are there', async () => {
  const { body } = await uaa.call('GET', '/.well-known/openid-configuration');
  assert.equal(body.issuer, ISSUER);
  const ofIssuer = await uaa.call('GET', `${new URL(ISSUER).pathname}/.well-known/openid-configuration`);
  assert.deepEqual(ofIssuer.body, body, 'as a client finds it that knows the issuer alone');
  for (const [name, value] of Object.entries<unknown>(body)) {
    if (typeof value !== 'string' || !/(_endpoint|_uri)$/.test(name)) continue;
    const { status } = await uaa.call(
      /token_endpoint|introspection/.test(name) ? 'POST' : 'GET',
      new URL(value).pathname,
    );
    assert.ok([200, 400, 401].includes(status), `${name}: ${status}`);
  }
  for (const grantType of body.grant_types_supported) {
    const { body: answer } = await uaa.grant({ grant_type: grantType });
    assert.notEqual(answer.error, 'unsupported_grant_type', grantType);
  }
  await uaa.createUser('claimed');
  const { body: granted } = await uaa.grant({ grant_type: 'password', username: 'admin', password: ADMIN_PASSWORD });
  assert.equal(granted.id_token, undefined, 'thus nothing is said of ID tokens');
  assert.ok(Object.keys(body).every((name) => !name.startsWith('id_token')));
  const { body: userinfo } = await uaa.call('GET', '/userinfo', {
    token: await uaa.login('claimed', 'a long password'),
  });
  const claims = { ...decodeJwt(granted.access_token), ...userinfo };
  for (const claim of body.claims_supported) assert.ok(claim in claims, claim);
});
