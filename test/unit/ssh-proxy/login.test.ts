import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fingerprintOf } from '../../../src/ssh-proxy/fingerprint.ts';
import { generateHostKey } from '../../../src/ssh-proxy/host-key.ts';
import { parseUserName } from '../../../src/ssh-proxy/login.ts';

const GUID = '0f3c5f4e-9a44-4b21-8d1e-0d3a7e6f5b12';

describe('user names of cf ssh', () => {
  test('name a process and an index', () => {
    assert.deepEqual(parseUserName(`cf:${GUID}/0`), { processGuid: GUID, index: 0 });
    assert.deepEqual(parseUserName(`cf:${GUID}/17`), { processGuid: GUID, index: 17 });
  });

  test('are refused in every other shape', () => {
    const shapes = ['', 'root', GUID, `cf:${GUID}`, `cf:${GUID}/`, `cf:${GUID}/-1`, `cf:${GUID}/1e3`, `cf:${GUID}/1/2`];
    shapes.push(
      `diego:${GUID}/0`,
      `cf:${GUID.toUpperCase()}/0`,
      `cf:${GUID}/0\n`,
      `cf:../${GUID}/0`,
      `cf:${GUID}/9999999`,
    );
    for (const shape of shapes) assert.equal(parseUserName(shape), null, shape);
  });
});

test('every host key that is made can be read', () => {
  for (let made = 0; made < 2000; made++) assert.doesNotThrow(() => fingerprintOf(generateHostKey()));
});

test('the fingerprint of a host key has the 43 characters by which the CLI knows SHA-256, and belongs to the key', () => {
  const key = generateHostKey();
  assert.match(fingerprintOf(key), /^[A-Za-z0-9+/]{43}$/);
  assert.equal(fingerprintOf(key), fingerprintOf(key));
  assert.notEqual(fingerprintOf(generateHostKey()), fingerprintOf(key));
  assert.throws(() => fingerprintOf('no key'), { code: 'bad_host_key' });
});
