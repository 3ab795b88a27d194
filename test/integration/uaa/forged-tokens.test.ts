import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import {
  decodeJwt,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  importJWK,
  importPKCS8,
  type JWTPayload,
  SignJWT,
} from 'jose';
import { AccessTokenVerifier, InvalidTokenError } from '../../../src/contracts/access-token.ts';
import { SigningKeys } from '../../../src/uaa/keys/signing-keys.ts';
import { nothingRevoked } from '../../support/revocations.ts';
import { ADMIN_PASSWORD, CC_SECRET, ISSUER, startTestUaa, type TestUaa } from './support.ts';

let uaa: TestUaa;
let verifier: AccessTokenVerifier;
/** The key of this foundation itself, taken from where it lies: for tokens that only it could have signed. */
let realKey: CryptoKey;
/** The same for RSASSA-PSS, of which another algorithm is made. */
let realKeyForPss: CryptoKey;
let kid: string;
let genuine: string;
let claims: JWTPayload;

before(async () => {
  const { Sealer } = await import('../../../src/kit/crypto.ts');
  const { randomBytes } = await import('node:crypto');
  const sealer = new Sealer([{ label: 'test', key: randomBytes(32) }]);
  uaa = await startTestUaa({ sealer });
  const keys = new SigningKeys(uaa.db, sealer, () => new Date());
  ({ privateKey: realKey, kid } = await keys.current());
  const { private_key_label: keyLabel, private_key_sealed: data } = await uaa.db
    .selectFrom('signing_keys')
    .selectAll()
    .where('kid', '=', kid)
    .executeTakeFirstOrThrow();
  realKeyForPss = await importPKCS8(sealer.open({ keyLabel, data }, `uaa/signing-key/${kid}`), 'PS256');
  verifier = new AccessTokenVerifier({
    issuer: ISSUER,
    audience: 'cloud_controller',
    keys: () => uaa.uaa.tokenKeys(),
    revocations: nothingRevoked(),
  });
  genuine = await uaa.adminToken();
  claims = decodeJwt(genuine);
});
after(() => uaa.stop());

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const signed = (payload: JWTPayload, header: Record<string, unknown> = {}, key: CryptoKey = realKey) =>
  new SignJWT(payload).setProtectedHeader({ alg: 'RS256', kid, ...header }).sign(key);

async function refusedEverywhere(token: string, why: string): Promise<void> {
  await assert.rejects(verifier.verify(token), InvalidTokenError, `Cloud Controller: ${why}`);
  const own = await uaa.call('GET', '/userinfo', { token });
  assert.equal(own.status, 401, `UAA: ${why}`);
  assert.equal(own.body.error, 'invalid_token', why);
  assert.match(own.headers.get('www-authenticate') ?? '', /^Bearer /);
  const checked = await uaa.call('POST', '/check_token', { basic: `cloud_controller:${CC_SECRET}`, form: { token } });
  assert.deepEqual([checked.status, checked.body.error], [400, 'invalid_token'], `check_token: ${why}`);
}

test('a token signed as UAA signs is taken: the attacks below fail for their own reason', async () => {
  const token = await signed(claims);
  await verifier.verify(token);
  assert.equal((await uaa.call('GET', '/userinfo', { token })).status, 200);
});

test('SECURITY 12: an unsigned token is refused', async () => {
  const [, body] = genuine.split('.');
  for (const alg of ['none', 'None', 'NONE', '']) {
    await refusedEverywhere(`${encode({ alg, kid })}.${body}.`, `alg ${alg}`);
    await refusedEverywhere(`${encode({ alg, kid })}.${body}.AAAA`, `alg ${alg} with a signature`);
  }
});

test('SECURITY 12: a token signed by HMAC with the public key is refused', async () => {
  const {
    keys: [jwk],
  } = await uaa.uaa.tokenKeys();
  const publicKey = await importJWK({ ...jwk!, ext: true }, 'RS256', { extractable: true });
  assert.ok(!(publicKey instanceof Uint8Array));
  for (const secret of [await exportSPKI(publicKey), JSON.stringify(jwk), jwk!.n!]) {
    for (const alg of ['HS256', 'HS512']) {
      const input = `${encode({ alg, kid, typ: 'JWT' })}.${encode(claims)}`;
      const mac = createHmac(alg === 'HS256' ? 'sha256' : 'sha512', secret)
        .update(input)
        .digest('base64url');
      await refusedEverywhere(`${input}.${mac}`, alg);
    }
  }
});

test('SECURITY 12: an unknown key, a key brought along and another algorithm are refused', async () => {
  const own = await generateKeyPair('RS256', { extractable: true });
  const jwk = await exportJWK(own.publicKey);
  await refusedEverywhere(await signed(claims, {}, own.privateKey), 'a foreign key under the known id');
  await refusedEverywhere(await signed(claims, { kid: 'mine' }, own.privateKey), 'an unknown key id');
  await refusedEverywhere(await signed(claims, { kid: 'mine' }), 'the known key under an unknown id');
  await refusedEverywhere(await signed(claims, { jwk }, own.privateKey), 'a key in the header');
  await refusedEverywhere(await signed(claims, { jku: 'http://127.0.0.1:1/keys' }, own.privateKey), 'keys elsewhere');
  await refusedEverywhere(await signed(claims, { alg: 'PS256' }, realKeyForPss), 'the known key, used as PS256');
});

test('SECURITY 12: another issuer, an expired token and an altered claim are refused; so is another audience where there is one', async () => {
  await refusedEverywhere(await signed({ ...claims, iss: 'https://uaa.other.test/oauth/token' }), 'iss');
  await refusedEverywhere(await signed({ ...claims, exp: Math.floor(Date.now() / 1000) - 600 }), 'exp');
  const { exp: _exp, ...endless } = claims;
  await refusedEverywhere(await signed(endless), 'no exp');
  const [header, , signature] = genuine.split('.');
  await refusedEverywhere(`${header}.${encode({ ...claims, user_name: 'other' })}.${signature}`, 'altered');
  await assert.rejects(verifier.verify(await signed({ ...claims, aud: ['scim', 'cf'] })), InvalidTokenError);
});

test('SECURITY 13: neither a refresh token nor an ID token is an access token, nor an access token a refresh token', async () => {
  const { body } = await uaa.grant({ grant_type: 'password', username: 'admin', password: ADMIN_PASSWORD });
  await refusedEverywhere(body.refresh_token, 'refresh token');
  await refusedEverywhere(await signed({ ...claims, jti: `${claims.jti}-r` }), 'the id of a refresh token');
  await refusedEverywhere(await signed({ ...claims, token_use: 'id' }), 'ID token');
  const { scope: _scope, ...withoutScope } = claims;
  await refusedEverywhere(await signed(withoutScope), 'no scope');
  await refusedEverywhere(await signed({ ...claims, scope: 'cloud_controller.admin openid' }), 'scope as a text');
  const misused = await uaa.grant({ grant_type: 'refresh_token', refresh_token: body.access_token });
  assert.deepEqual([misused.status, misused.body.error], [401, 'invalid_token']);
});
