import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeJwt } from 'jose';
import { ADMIN_SECRET, CC_SECRET, startTestUaa, type TestUaa } from './support.ts';

let uaa: TestUaa;
let admin: string;
before(async () => {
  uaa = await startTestUaa();
  admin = await uaa.adminToken();
});
after(() => uaa.stop());

const filtered = (path: string, filter: string, token = admin) =>
  uaa.call('GET', `${path}?filter=${encodeURIComponent(filter)}`, { token });

test('UAA-14: an operator creates a user as the command-line tool does, finds, changes and deletes them', async () => {
  const created = await uaa.call('POST', '/Users', {
    token: admin,
    json: {
      userName: 'Ada@example.test',
      password: 'a long password',
      origin: '',
      name: { familyName: 'Ada@example.test', givenName: 'Ada@example.test' },
      emails: [{ value: 'Ada@example.test', primary: true }],
    },
  });
  assert.equal(created.status, 201);
  assert.equal(created.body.origin, 'uaa');
  assert.equal(JSON.stringify(created.body).includes('password"'), false);
  const groups = created.body.groups.map((group: { display: string }) => group.display);
  for (const name of [
    'cloud_controller.read',
    'cloud_controller.write',
    'openid',
    'password.write',
    'scim.me',
    'uaa.user',
  ]) {
    assert.ok(groups.includes(name), name);
  }

  const found = await filtered('/Users', 'userName eq "ada@EXAMPLE.test" and origin eq "uaa"');
  assert.deepEqual(
    found.body.resources.map((user: { id: string }) => user.id),
    [created.body.id],
  );
  const patched = await uaa.call('PATCH', `/Users/${created.body.id}`, {
    token: admin,
    json: { name: { givenName: 'Augusta' } },
  });
  assert.equal(patched.body.name.givenName, 'Augusta');
  assert.equal(patched.body.name.familyName, 'Ada@example.test');
  const stale = await uaa.call('PATCH', `/Users/${created.body.id}`, {
    token: admin,
    json: { active: false },
    headers: { 'if-match': '0' },
  });
  assert.equal(stale.status, 412);
  const put = await uaa.call('PUT', `/Users/${created.body.id}`, {
    token: admin,
    json: { userName: 'ada', emails: [{ value: 'a@b.test' }] },
  });
  assert.deepEqual([put.status, put.body.userName, put.body.emails[0].value], [200, 'ada', 'a@b.test']);

  const deleted = await uaa.call('DELETE', `/Users/${created.body.id}`, {
    token: admin,
    headers: { 'content-type': 'application/json' },
  });
  assert.deepEqual([deleted.status, deleted.body.id], [200, created.body.id]);
  assert.equal(
    (await uaa.call('DELETE', `/Users/${created.body.id}`, { token: admin })).body.error,
    'scim_resource_not_found',
  );
});

test('a name that is taken is told with the id of who has it', async () => {
  const id = await uaa.createUser('taken');
  const again = await uaa.call('POST', '/Users', {
    token: admin,
    json: { userName: 'TAKEN', password: 'a long password' },
  });
  assert.equal(again.status, 409);
  assert.deepEqual([again.body.error, again.body.user_id], ['scim_resource_already_exists', id]);
  const elsewhere = await uaa.call('POST', '/Users', { token: admin, json: { userName: 'taken', origin: 'ldap' } });
  assert.equal(elsewhere.status, 201, 'the same name of another origin is another user');
  assert.equal((await uaa.grant({ grant_type: 'password', username: 'taken', password: '' })).status, 400);
});

test('UAA-05: the database holds of a password its bcrypt hash alone', async () => {
  const id = await uaa.createUser('hashed', 'plain to be seen?');
  const row = await uaa.db.selectFrom('users').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  assert.match(row.password_hash!, /^\$2b\$04\$/);
  assert.equal(JSON.stringify(row).includes('plain to be seen?'), false);
  const clients = await uaa.db.selectFrom('clients').selectAll().execute();
  assert.equal(JSON.stringify(clients).includes(CC_SECRET), false);
});

test('UAA-11: a weak password is refused; one that bcrypt would cut off, too', async () => {
  const attempt = (password: string) =>
    uaa.call('POST', '/Users', { token: admin, json: { userName: 'weak', password } });
  for (const password of ['short', '', 'x'.repeat(73), 'ä'.repeat(37)]) {
    const { status, body } = await attempt(password);
    assert.deepEqual([status, body.error], [400, 'invalid_password'], password);
  }
  assert.equal((await attempt('x'.repeat(72))).status, 201);
  assert.equal((await uaa.grant({ grant_type: 'password', username: 'weak', password: 'x'.repeat(73) })).status, 401);
});

test('a user changes their own password, proving the old one', async () => {
  const id = await uaa.createUser('self');
  const token = await uaa.login('self', 'a long password');
  const change = (json: unknown) => uaa.call('PUT', `/Users/${id}/password`, { token, json });
  assert.equal((await change({ password: 'another long password' })).status, 401);
  assert.equal((await change({ oldPassword: 'wrong', password: 'another long password' })).status, 401);
  const same = await change({ oldPassword: 'a long password', password: 'a long password' });
  assert.deepEqual([same.status, same.body.error], [422, 'invalid_password']);
  assert.match(same.body.error_description, /cannot be the same/);
  assert.equal((await change({ oldPassword: 'a long password', password: 'short' })).status, 422);
  const changed = await change({ oldPassword: 'a long password', password: 'another long password' });
  assert.deepEqual([changed.status, changed.body.status], [200, 'ok']);
  await uaa.login('self', 'another long password');
  const other = await uaa.createUser('other-self');
  const foreign = await uaa.call('PUT', `/Users/${other}/password`, {
    token: await uaa.login('self', 'another long password'),
    json: { password: 'taken over now' },
  });
  assert.deepEqual([foreign.status, foreign.body.error], [403, 'insufficient_scope']);
});

test('a user reads their own record and no other', async () => {
  const [own, other] = [await uaa.createUser('reader'), await uaa.createUser('read')];
  const token = await uaa.login('reader', 'a long password');
  assert.equal((await uaa.call('GET', `/Users/${own}`, { token })).status, 200);
  assert.equal((await uaa.call('GET', `/Users/${other}`, { token })).status, 403);
  assert.equal((await uaa.call('GET', '/Users', { token })).status, 403);
});

test('filters choose users; pages and attributes cut the answer', async () => {
  const ids = [];
  for (const name of ['page-a', 'page-b', 'page-c%']) ids.push(await uaa.createUser(name));
  const names = async (filter: string) =>
    (await filtered('/Users', filter)).body.resources.map((user: { userName: string }) => user.userName).sort();
  assert.deepEqual(await names('userName sw "PAGE-"'), ['page-a', 'page-b', 'page-c%']);
  assert.deepEqual(await names('userName co "%"'), ['page-c%'], 'a wildcard of SQL is a plain character');
  assert.deepEqual(await names('userName sw "page" and not (userName eq "page-a")'), ['page-b', 'page-c%']);
  assert.deepEqual(await names(`id eq "${ids[0]}" or id eq "${ids[1]}"`), ['page-a', 'page-b']);
  assert.deepEqual(await names('userName sw "page" and active eq false'), []);
  assert.deepEqual(await names('userName sw "page" and meta.created gt "2200-01-01T00:00:00.000Z"'), []);
  assert.deepEqual(await names('userName sw "page" and externalId pr'), []);
  const query = `filter=${encodeURIComponent('userName sw "page"')}&sortBy=userName&sortOrder=descending&startIndex=2&count=1&attributes=id,userName`;
  const { body } = await uaa.call('GET', `/Users?${query}`, { token: admin });
  assert.deepEqual(body.resources, [{ id: ids[1], userName: 'page-b' }]);
  assert.deepEqual([body.totalResults, body.startIndex, body.itemsPerPage], [3, 2, 1]);
});

test('names and ids are translated for who may only that', async () => {
  const id = await uaa.createUser('translated');
  const token = await uaa.clientToken('cloud_controller', CC_SECRET);
  const { body } = await filtered('/ids/Users', 'userName eq "translated"', token);
  assert.deepEqual(body.resources, [{ id, userName: 'translated', origin: 'uaa' }]);
  assert.equal((await filtered('/ids/Users', 'email sw "t"', token)).status, 400);
});

test('the directory tells the Cloud Controller names of users and users of names', async () => {
  const id = await uaa.createUser('Directory.Entry');
  const entry = { id, userName: 'Directory.Entry', origin: 'uaa' };
  const { directory } = uaa.uaa;
  assert.deepEqual(await directory.byIds([id, 'none', "'"]), [entry]);
  assert.deepEqual(await directory.byIds([]), []);
  assert.deepEqual(await directory.byName('directory.entry'), [entry]);
  assert.deepEqual(await directory.byName('directory.entry', 'ldap'), []);
  assert.deepEqual(await directory.byPartialNames(['CTORY.e', 'no-one']), [entry]);
  assert.deepEqual(await directory.byPartialNames(['Directory%Entry']), []);
});

test('a group inside a group gives its members what the outer one is for', async () => {
  const user = await uaa.createUser('nested');
  const create = async (json: unknown) => (await uaa.call('POST', '/Groups', { token: admin, json })).body.id;
  const inner = await create({ displayName: 'team.inner', members: [{ value: user }] });
  const { body } = await filtered('/Groups', 'displayName eq "logs.admin"');
  const outer = body.resources[0].id;
  assert.equal(
    (await uaa.call('POST', `/Groups/${outer}/members`, { token: admin, json: { value: inner, type: 'GROUP' } }))
      .status,
    201,
  );
  const scopes = decodeJwt(await uaa.login('nested', 'a long password'))['scope'];
  assert.ok(Array.isArray(scopes) && scopes.includes('logs.admin'));
  // A circle does no harm.
  assert.equal(
    (await uaa.call('POST', `/Groups/${inner}/members`, { token: admin, json: { value: outer, type: 'GROUP' } }))
      .status,
    201,
  );
  await uaa.login('nested', 'a long password');
  assert.equal((await uaa.call('DELETE', `/Groups/${inner}`, { token: admin })).status, 200);
  assert.equal(
    (await uaa.call('DELETE', `/Groups/${outer}`, { token: admin })).status,
    400,
    'a group of the platform stays',
  );
  const again = await uaa.call('POST', '/Groups', { token: admin, json: { displayName: 'openid' } });
  assert.deepEqual([again.status, again.body.error], [409, 'scim_resource_already_exists']);
  const nobody = await uaa.call('POST', `/Groups/${outer}/members`, { token: admin, json: { value: 'nobody' } });
  assert.equal(nobody.status, 404);
});

test('UAA-09: clients are made, listed, changed and deleted', async () => {
  const token = await uaa.clientToken('admin', ADMIN_SECRET);
  const json = {
    client_id: 'dash-board.1',
    client_secret: 'first-secret',
    authorized_grant_types: ['client_credentials'],
    authorities: ['scim.read'],
  };
  assert.equal((await uaa.call('POST', '/oauth/clients', { token, json })).status, 201);
  const again = await uaa.call('POST', '/oauth/clients', { token, json });
  assert.deepEqual([again.status, again.body.error], [409, 'invalid_client']);
  const listed = await uaa.call('GET', '/oauth/clients', { token });
  assert.ok(listed.body.resources.some((client: { client_id: string }) => client.client_id === 'dash-board.1'));
  assert.doesNotMatch(JSON.stringify(listed.body), /-secret|client_secret|\$2b/);

  const old = await uaa.clientToken('dash-board.1', 'first-secret');
  const secret = (body: unknown) => uaa.call('PUT', '/oauth/clients/dash-board.1/secret', { token, json: body });
  assert.equal((await secret({ secret: 'second-secret', changeMode: 'ADD' })).status, 200);
  assert.equal(
    (await uaa.call('GET', '/Users', { token: old })).status,
    200,
    'a secret beside the former ends nothing',
  );
  await uaa.clientToken('dash-board.1', 'first-secret');
  await uaa.clientToken('dash-board.1', 'second-secret');
  assert.equal((await secret({ secret: 'x', changeMode: 'DELETE' })).status, 200);
  await uaa.clientToken('dash-board.1', 'second-secret');
  assert.equal(
    (await uaa.grant({ grant_type: 'client_credentials' }, 'dash-board.1:first-secret')).status,
    401,
    'remembered no longer',
  );
  assert.equal((await uaa.call('GET', '/Users', { token: old })).status, 401);

  const { client_secret: _secret, ...changed } = { ...json, authorities: ['scim.userids'], access_token_validity: 60 };
  const updated = await uaa.call('PUT', '/oauth/clients/dash-board.1', { token, json: changed });
  assert.deepEqual([updated.status, updated.body.authorities], [200, ['scim.userids']]);
  const claims = decodeJwt(await uaa.clientToken('dash-board.1', 'second-secret'));
  assert.equal(claims.exp! - claims.iat!, 60);
  const live = await uaa.clientToken('dash-board.1', 'second-secret');
  assert.equal((await uaa.call('DELETE', '/oauth/clients/dash-board.1', { token })).status, 200);
  assert.equal((await uaa.call('GET', '/oauth/clients/dash-board.1', { token })).body.error, 'not_found');
  assert.equal((await filtered('/ids/Users', 'userName eq "x"', live)).status, 401);
});

test('clients that cannot be served safely are refused', async () => {
  const token = await uaa.clientToken('admin', ADMIN_SECRET);
  const create = (json: Record<string, unknown>) =>
    uaa.call('POST', '/oauth/clients', { token, json: { client_id: 'bad', ...json } });
  assert.equal((await create({ authorized_grant_types: ['client_credentials'] })).status, 400, 'no secret');
  assert.equal((await create({ authorized_grant_types: ['implicit'] })).status, 400);
  assert.equal((await create({ authorized_grant_types: ['authorization_code'] })).status, 400, 'no address');
  const wild = { authorized_grant_types: ['authorization_code'], redirect_uri: ['https://*.example.test/'] };
  assert.equal((await create(wild)).status, 400);
  assert.equal((await create({ client_id: 'a b', authorized_grant_types: ['password'] })).status, 400);
  const remove = await uaa.call('DELETE', '/oauth/clients/cf', { token });
  assert.equal(remove.status, 400, 'the client of the command-line tool stays');
});

test('malformed requests are refused, not failed upon', async () => {
  const post = (body: string, type: string) =>
    uaa.call('POST', '/Users', { token: admin, form: body, headers: { 'content-type': type } });
  assert.equal((await post('{', 'application/json')).status, 400);
  assert.equal(
    (await uaa.call('POST', '/Users', { token: admin, json: { userName: 'a\0b', password: 'a long password' } }))
      .status,
    400,
  );
  assert.equal(
    (await uaa.call('POST', '/Users', { token: admin, json: { userName: '  ', password: 'a long password' } })).status,
    400,
  );
  assert.equal((await uaa.call('POST', '/Users', { token: admin, json: [] })).body.error, 'invalid_scim_resource');
  assert.equal(
    (await uaa.call('POST', '/Users', { token: admin, json: { userName: 'x'.repeat(300_000) } })).status,
    413,
  );
  assert.equal((await uaa.call('GET', '/Users/%00', { token: admin })).status, 400);
  assert.equal((await uaa.call('GET', '/Users/%ff', { token: admin })).status, 400);
  assert.equal((await uaa.call('GET', '/Users?filter=%ff', { token: admin })).status, 400);
  const deep = `{"userName":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  assert.equal((await post(deep, 'application/json')).status, 400);
  assert.equal((await uaa.call('GET', '/Users?count=-1', { token: admin })).status, 400);
  assert.equal((await uaa.call('GET', '/nothing/here', { token: admin })).status, 404);
});
