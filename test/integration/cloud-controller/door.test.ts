import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { permissionOf } from '../../../src/cloud-controller/permissions.ts';
import { operations } from '../../../src/cloud-controller/resources.ts';
import { Logger } from '../../../src/kit/log.ts';
import { eventually } from '../../support/apps.ts';
import {
  READ_WRITE,
  type Reply,
  startTestCloudController,
  type TestCloudController,
} from '../../support/cloud-controller.ts';
import { rawRequest } from '../../support/raw-request.ts';

let cc: TestCloudController;
const logged: string[] = [];
before(async () => {
  cc = await startTestCloudController({ log: new Logger('cc', {}, (line) => logged.push(line)) });
});
after(() => cc.close());

const closed = operations.filter(({ id }) => permissionOf(id).scope !== 'public');
const pathOf = (id: string): string => id.split(' ')[1]!.replaceAll(/:\w+/g, 'x');
const detail = (reply: Reply): string => reply.body.errors[0].detail;
const ENOUGH_BYTES = 8 * 1024 ** 2;

test('SECURITY 25: every operation answers a request without a token before a byte of its body is sent', async () => {
  assert.ok(closed.length > 150);
  for (const { id } of closed) {
    const method = id.split(' ')[0]!;
    const answer = await rawRequest(cc.url, { method, path: pathOf(id), headers: { 'content-type': 'text/plain' } });
    assert.equal(answer.status, 401, id);
    assert.match(answer.text, /CF-NotAuthenticated/, id);
  }
});

test('SECURITY 25: a body without end is not taken from a sender who is not known', async () => {
  const paths = [
    '/v3/packages/x/upload',
    '/v3/droplets/x/upload',
    '/v3/buildpacks/x/upload',
    '/v3/apps',
    '/v3/nothing',
  ];
  const types = ['text/plain', 'application/json', 'multipart/form-data; boundary=x'];
  const tries = paths.flatMap((path) => types.map((type) => ({ path, type })));
  await Promise.all(
    tries.map(async ({ path, type }) => {
      const head = { method: 'POST', path, headers: { 'content-type': type } };
      const answer = await rawRequest(cc.url, head, { endless: true, waitMs: 20_000 });
      assert.equal(answer.status, path === '/v3/nothing' ? 404 : 401, `${path} ${type}`);
      assert.ok(answer.bodyBytes < ENOUGH_BYTES, `${path} ${type}: ${answer.bodyBytes} bytes`);
    }),
  );
});

test('SECURITY 25: an upload is refused before its body where the package is not the caller’s or the type is wrong', async () => {
  const authorization = `bearer ${(await cc.person('stranger')).token}`;
  const upload = (headers: Record<string, string>) =>
    rawRequest(cc.url, { method: 'POST', path: '/v3/packages/x/upload', headers });
  const unseen = await upload({ authorization, 'content-type': 'multipart/form-data; boundary=x' });
  assert.equal(unseen.status, 404);
  assert.match(unseen.text, /Package not found/);
  const { guid } = (await cc.admin.post('/v3/buildpacks', { name: 'door_buildpack' })).body;
  const path = `/v3/buildpacks/${guid}/upload`;
  const headers = { authorization: `bearer ${cc.admin.token}`, 'content-type': 'text/plain' };
  const wrong = await rawRequest(cc.url, { method: 'POST', path, headers });
  assert.equal(wrong.status, 415);
  assert.match(wrong.text, /CF-InvalidContentType/);
});

test('SECURITY 25: a JSON body past its bound is refused, also without a length', async () => {
  const headers = { authorization: `bearer ${cc.admin.token}`, 'content-type': 'application/json' };
  const answer = await rawRequest(
    cc.url,
    { method: 'POST', path: '/v3/apps', headers },
    { endless: true, waitMs: 20_000 },
  );
  assert.equal(answer.status, 413);
  assert.ok(answer.bodyBytes < ENOUGH_BYTES, `${answer.bodyBytes} bytes`);
});

test('SECURITY 25: what requests name is bounded in memory while their bodies do not come, and is free when they are gone', async () => {
  const rules = Array.from({ length: 950 }, () => ({
    protocol: 'all',
    destination: '10.0.0.0/8',
    description: 'x'.repeat(1_000),
  }));
  const { guid } = (await cc.admin.post('/v3/security_groups', { name: 'heavy', rules })).body;
  const path = `/v3/security_groups/${guid}`;
  const authorization = `bearer ${cc.admin.token}`;
  const headers = { authorization, 'content-type': 'application/json', 'content-length': '20' };
  const { hostname, port } = new URL(cc.url);
  // Fewer than may send a body at once.
  const sockets = Array.from({ length: 99 }, () => connect(Number(port), hostname));
  try {
    const sent = sockets.map((over) =>
      rawRequest(cc.url, { method: 'PATCH', path, headers }, { over, waitMs: 90_000 }),
    );
    const first = await Promise.race(sent);
    assert.equal(first.status, 429, first.text);
    assert.match(first.text, /too many answers wait/i);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  await eventually(async () => (await cc.admin.patch(path, { name: 'light' })).status === 200);
});

test('SECURITY 25: a compressed body is refused before a byte of it is sent', async () => {
  const headers = {
    authorization: `bearer ${cc.admin.token}`,
    'content-type': 'application/json',
    'content-encoding': 'gzip',
  };
  const answer = await rawRequest(cc.url, { method: 'POST', path: '/v3/organizations', headers });
  assert.equal(answer.status, 415);
  assert.match(answer.text, /CF-InvalidContentType/);
});

test('framework errors, forbidden characters and malformed numbers have the API’s own form', async () => {
  for (const [path, status, title] of [
    ['/v3/apps/%zz', 400, 'CF-BadQueryParameter'],
    [`/v3/apps/${'a'.repeat(600)}`, 404, 'CF-NotFound'],
    ['/v3/apps/%00', 400, 'CF-BadQueryParameter'],
    ['/v3/apps?names=%00', 400, 'CF-BadQueryParameter'],
    ['/v3/apps?names=%2500', 400, 'CF-BadQueryParameter'],
    ['/v3/tasks?sequence_ids=x', 400, 'CF-BadQueryParameter'],
    ['/v3/tasks?sequence_ids=', 400, 'CF-BadQueryParameter'],
    ['/v3/tasks?sequence_ids=99999999999999999999', 400, 'CF-BadQueryParameter'],
  ] as const) {
    const answer = await cc.admin.get(path);
    assert.equal(answer.status, status, path);
    assert.equal(answer.body.errors[0].title, title, path);
  }
  for (const name of ['a\u0000b', 'a\ud800b']) {
    const answer = await cc.admin.post('/v3/organizations', { name });
    assert.equal(answer.status, 422);
    assert.equal(answer.body.errors[0].title, 'CF-UnprocessableEntity');
  }
});

test('a NUL in an environment variable is refused before anything is kept', async () => {
  const answer = await cc.admin.patch('/v3/environment_variable_groups/running', { var: { PW: 'planted\u0000' } });
  assert.equal(answer.status, 422);
});

test('HEAD is served where GET is, and null is an empty body', async () => {
  const head = await fetch(`${cc.url}/v3/info`, { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(await head.text(), '');
  const answer = await cc.admin.request('POST', '/v3/organizations', 'null');
  assert.equal(answer.status, 422);
  assert.match(answer.body.errors[0].detail, /Name/);
});

test('malformed and oversized requests are refused in the API’s own words (SECURITY 25)', async () => {
  const raw = (body: string) => cc.admin.request('POST', '/v3/organizations', body);
  const broken = await raw('{"name":');
  assert.equal(broken.status, 400);
  assert.equal(broken.body.errors[0].title, 'CF-MessageParseError');
  assert.equal((await raw('['.repeat(100_000))).status, 400);
  assert.equal((await raw(`{"name":"${'x'.repeat(1_200_000)}"}`)).status, 413);
  assert.equal(detail(await raw('{}')), "Name can't be blank");
  assert.equal(detail(await raw('{"name":"a","nope":1}')), "Unknown field(s): 'nope'");
  assert.equal(detail(await raw('{"name":7}')), 'Name must be a string');
  const unknown = await cc.admin.get('/v3/nothing');
  assert.deepEqual(unknown.body.errors, [{ code: 10000, title: 'CF-NotFound', detail: 'Unknown request' }]);
  const older = { code: 10000, description: 'Unknown request', error_code: 'CF-NotFound' };
  for (const path of ['/v2/apps', '/v2', '/v2/organizations?q=name:a']) {
    const reply = await cc.admin.get(path);
    assert.deepEqual([reply.status, reply.body], [404, older], 'in the words of those who ask there');
  }
  assert.match(unknown.headers.get('x-vcap-request-id') ?? '', /./);
  assert.equal((await cc.admin.get(`/v3/organizations?per_page=99999999999999`)).status, 400);
});

test('an unexpected failure says nothing of the inside, is logged once, and is the one request’s alone', async () => {
  await cc.db.schema.alterTable('isolation_segments').renameTo('isolation_segments_away').execute();
  const before = logged.length;
  const [reply, ...others] = await Promise.all([
    cc.admin.get('/v3/isolation_segments'),
    ...Array.from({ length: 5 }, () => cc.admin.get('/v3/organizations')),
  ]);
  await cc.db.schema.alterTable('isolation_segments_away').renameTo('isolation_segments').execute();
  assert.equal(reply.status, 500);
  assert.deepEqual(reply.body.errors, [
    { code: 10001, title: 'CF-UnknownError', detail: 'An unknown error occurred.' },
  ]);
  assert.deepEqual(
    others.map(({ status }) => status),
    [200, 200, 200, 200, 200],
  );
  const lines = logged.slice(before).filter((line) => line.includes('"level":"error"'));
  assert.equal(lines.length, 1, lines.join(''));
  const { message, requestId } = JSON.parse(lines[0] ?? '');
  assert.equal(message, 'an operation failed');
  assert.equal(requestId, reply.headers.get('x-vcap-request-id'));
  assert.equal((await cc.admin.get('/v3/isolation_segments')).status, 200);
});

const LIMIT = 5;

describe('what one caller may ask', () => {
  let cc: TestCloudController;
  const lookedUp: string[] = [];
  before(async () => {
    cc = await startTestCloudController({
      requestLimits: { caller: { limit: LIMIT, intervalMs: 3_600_000 } },
      looksUp: (kind) => lookedUp.push(kind),
    });
  });
  after(() => cc.close());

  test('SECURITY 25: a token that may do nothing here counts like any other, and past its limit nothing is looked up for it', async () => {
    const may = (await cc.client('reader', READ_WRITE)).get;
    const mayNot = (await cc.client('stranger', ['openid'])).get;
    for (const [get, status] of [
      [may, 200],
      [mayNot, 403],
    ] as const) {
      for (let sent = 0; sent < LIMIT; sent += 1) assert.equal((await get('/v3/organizations')).status, status);
      lookedUp.length = 0;
      const refused = await get('/v3/organizations');
      assert.deepEqual([refused.status, refused.body.errors[0].title], [429, 'CF-RateLimitExceeded']);
      assert.deepEqual(lookedUp, []);
    }
  });

  test('SECURITY 25: the users of many names are one question to UAA', async () => {
    await cc.person('Ann');
    const names = ['ann', ...Array.from({ length: 300 }, (_, n) => `nobody-${n}`)];
    lookedUp.length = 0;
    const found = await cc.admin.get(`/v3/users?usernames=${names.join(',')}`);
    assert.equal(found.status, 200);
    assert.equal(lookedUp.filter((kind) => kind === 'byNames').length, 1);
  });
});
