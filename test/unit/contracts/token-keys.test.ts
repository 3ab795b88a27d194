import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { TokenKeys } from '../../../src/contracts/token-keys.ts';

const TIMES = { refreshMs: 30, maxAgeMs: 120 };
const ONE = JSON.stringify({ keys: [{ kty: 'RSA', kid: 'one' }] });
const OTHER = JSON.stringify({ keys: [{ kty: 'RSA', kid: 'other' }] });

function uaa() {
  const told = { jwks: ONE, asked: 0, away: false };
  const keys = async () => {
    told.asked += 1;
    if (told.away) throw new Error('nobody listens');
    return { $typeName: 'cupola.uaa.v1.KeysResponse', jwks: told.jwks } as const;
  };
  return { told, keys: new TokenKeys({ keys }, TIMES) };
}

const kidsOf = (set: { keys: { kid?: string }[] }) => set.keys.map(({ kid }) => kid);

test('the keys of UAA are asked for once, however many tokens come, and are the same object while they are the same', async () => {
  const { told, keys } = uaa();
  const first = await Promise.all([keys.keys(), keys.keys(), keys.keys()]);
  assert.equal(told.asked, 1);
  await pause(TIMES.refreshMs + 10);
  assert.equal(await keys.keys(), first[0]);
  await pause(5);
  assert.equal(told.asked, 2);
  assert.equal(await keys.keys(), first[0]);
});

test('SECURITY 14: a key that was dropped is good for a moment at most, also after a pause', async () => {
  const { told, keys } = uaa();
  assert.deepEqual(kidsOf(await keys.keys()), ['one']);
  told.jwks = OTHER;
  await pause(TIMES.maxAgeMs + 10);
  assert.deepEqual(kidsOf(await keys.keys()), ['other']);
});

test('SECURITY 14: while UAA is away its keys are good for a moment, and nothing is let pass by them after that', async () => {
  const { told, keys } = uaa();
  await keys.keys();
  told.away = true;
  await pause(TIMES.refreshMs + 10);
  assert.deepEqual(kidsOf(await keys.keys()), ['one']);
  await pause(TIMES.maxAgeMs);
  await assert.rejects(keys.keys(), /nobody listens/);
  told.away = false;
  assert.deepEqual(kidsOf(await keys.keys()), ['one']);
});

test('what are no keys is believed nothing', async () => {
  const { told, keys } = uaa();
  for (const jwks of ['', '{}', '{"keys": [{}]}']) {
    told.jwks = jwks;
    await assert.rejects(keys.keys(), { code: 'invalid_keys' });
  }
});
