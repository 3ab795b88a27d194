import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { PERMISSIONS } from '../../../src/uaa/permissions.ts';
import { rawRequest } from '../../support/raw-request.ts';
import { ADMIN_SECRET, CC_SECRET, startTestUaa, type TestUaa } from './support.ts';

let uaa: TestUaa;
let admin: Record<string, string>;
before(async () => {
  uaa = await startTestUaa();
  admin = { authorization: `bearer ${await uaa.clientToken('admin', ADMIN_SECRET)}` };
});
after(() => uaa.stop());

const FORM = 'application/x-www-form-urlencoded';
const ENOUGH_BYTES = 8 * 1024 ** 2;
const closed = Object.entries(PERMISSIONS).flatMap(([operation, { rule }]) => {
  const [method = '', path = ''] = operation.split(' ');
  return rule === 'anyone' || rule === 'client' ? [] : [{ method, path: path.replace(/:\w+|\*/g, 'x'), rule }];
});

test('SECURITY 25: every operation answers a request without a token, or with a wrong one, before a byte of its body is sent', async () => {
  assert.ok(closed.length > 25);
  for (const { method, path } of closed) {
    for (const authorization of [undefined, 'bearer x.y.z', 'Basic eDp5']) {
      const headers = { 'content-type': 'application/json', ...(authorization ? { authorization } : {}) };
      const answer = await rawRequest(uaa.url, { method, path, headers });
      assert.equal(answer.status, 401, `${method} ${path} ${authorization}`);
    }
  }
});

test('SECURITY 25: a body without end is not taken from a sender who is not known, whether it says its length or not', async () => {
  const senders: Record<string, string>[] = [
    { authorization: 'bearer x.y.z', 'content-type': 'application/json' },
    { 'content-type': FORM, 'content-length': `${1024 ** 3}` },
  ];
  const tries = closed
    .filter(({ method }) => method !== 'GET')
    .flatMap(({ method, path }) => senders.map((headers) => ({ method, path, headers })));
  await Promise.all(
    tries.map(async (head) => {
      const answer = await rawRequest(uaa.url, head, { endless: true, waitMs: 20_000 });
      assert.equal(answer.status, 401, `${head.method} ${head.path}`);
      assert.ok(answer.bodyBytes < ENOUGH_BYTES, `${head.method} ${head.path}: ${answer.bodyBytes} bytes`);
    }),
  );
});

test('SECURITY 25: a body past its bound is refused where one is due, with a length before a byte of it, and without', async () => {
  for (const [path, headers, bound] of [
    ['/oauth/token', { 'content-type': FORM }, 32_768],
    ['/oauth/token', { 'content-type': 'application/json' }, 32_768],
    ['/introspect', { authorization: `Basic ${btoa(`cloud_controller:${CC_SECRET}`)}`, 'content-type': FORM }, 32_768],
    ['/Users', { ...admin, 'content-type': FORM }, 32_768],
    ['/Users', { ...admin, 'content-type': 'application/json' }, 262_144],
  ] as const) {
    const head = { method: 'POST', path };
    const announced = await rawRequest(uaa.url, { ...head, headers: { ...headers, 'content-length': `${bound + 1}` } });
    assert.equal(announced.status, 413, path);
    const endless = await rawRequest(uaa.url, { ...head, headers }, { endless: true, waitMs: 20_000 });
    assert.equal(endless.status, 413, path);
    assert.match(endless.text, /invalid_request/);
    assert.ok(endless.bodyBytes < ENOUGH_BYTES, `${path}: ${endless.bodyBytes} bytes`);
  }
});

test('SECURITY 25: a body of another type is refused before a byte of it is sent', async () => {
  for (const type of ['text/plain', 'multipart/form-data; boundary=x', 'application/xml', 'application/octet-stream']) {
    for (const path of ['/oauth/token', '/Users']) {
      const answer = await rawRequest(uaa.url, { method: 'POST', path, headers: { ...admin, 'content-type': type } });
      assert.equal(answer.status, 415, `${path} ${type}`);
    }
  }
});

test('SECURITY 25: a compressed body is refused unread: what it unpacks to has no bound', async () => {
  for (const encoding of ['gzip', 'GZIP', 'deflate', 'br', 'zstd', 'gzip, gzip']) {
    for (const [path, type] of [
      ['/oauth/token', FORM],
      ['/Users', 'application/json'],
    ] as const) {
      const headers = { ...admin, 'content-type': type, 'content-encoding': encoding };
      const answer = await rawRequest(uaa.url, { method: 'POST', path, headers });
      assert.equal(answer.status, 415, `${path} ${encoding}`);
    }
  }
  const bomb = await fetch(`${uaa.url}/oauth/token`, {
    method: 'POST',
    headers: { 'content-type': FORM, 'content-encoding': 'gzip' },
    body: new Uint8Array(gzipSync(Buffer.alloc(8 * 1024 ** 2, 'a'))),
  });
  assert.equal(bomb.status, 415);
});

test('SECURITY 25: what is nowhere, or is not served in this way, is refused before its body', async () => {
  for (const [method, path, status] of [
    ['POST', '/nothing/here', 404],
    ['PUT', '/oauth/token', 405],
    ['DELETE', '/Users', 405],
    ['POST', '/Users/%zz', 400],
    ['POST', '/Users/%00', 400],
  ] as const) {
    const answer = await rawRequest(uaa.url, { method, path, headers: { 'content-type': 'application/json' } });
    assert.equal(answer.status, status, `${method} ${path}`);
    assert.match(answer.text, /"error":"\w+"/, path);
  }
});

test('a request that needs no body leaves the one it has unread, whatever its type says', async () => {
  const json = { displayName: 'with.members', members: [{ value: await uaa.createUser('removed') }] };
  const { body } = await uaa.call('POST', '/Groups', { token: admin['authorization']!.split(' ')[1]!, json });
  const path = `/Groups/${body.id}/members/${body.members[0].value}`;
  const answer = await rawRequest(uaa.url, { method: 'DELETE', path, headers: { ...admin, 'content-length': '66' } });
  assert.equal(answer.status, 200, 'as go-uaa sends it: a JSON body without Content-Type');
  assert.match(answer.text, /"type":"USER"/);
});
