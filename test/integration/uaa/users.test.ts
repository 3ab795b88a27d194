import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CC_SECRET, startTestUaa, type TestUaa } from './support.ts';

let uaa: TestUaa;
let admin: string;
before(async () => {
  uaa = await startTestUaa();
  admin = await uaa.adminToken();
});
after(() => uaa.stop());

const filtered = (path: string, filter: string, token = admin) => uaa.filtered(path, filter, token);

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
    headers: { 'if-match': `${created.body.meta.version}` },
  });
  assert.equal(patched.body.name.givenName, 'Augusta');
  assert.equal(patched.body.name.familyName, 'Ada@example.test');
  const stale = await uaa.call('PATCH', `/Users/${created.body.id}`, {
    token: admin,
    json: { active: false },
    headers: { 'if-match': '0' },
  });
  assert.equal(stale.status, 409);
  const put = await uaa.call('PUT', `/Users/${created.body.id}`, {
    token: admin,
    json: { userName: 'ada', emails: [{ value: 'a@b.test' }] },
    headers: { 'if-match': '*' },
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

test('who changes a user says which version of them they have seen; an older one is refused, and nothing is changed', async () => {
  const id = await uaa.createUser('versioned');
  const path = `/Users/${id}`;
  const json = { userName: 'versioned', emails: [{ value: 'v@example.test' }] };
  const change = (method: string, version?: string) =>
    uaa.call(method, path, {
      token: admin,
      ...(method === 'DELETE' ? {} : { json }),
      headers: version === undefined ? {} : { 'if-match': version },
    });
  for (const method of ['PUT', 'PATCH']) {
    const blind = await change(method);
    assert.deepEqual(
      [blind.status, blind.body.error, blind.body.error_description],
      [400, 'scim', `Missing If-Match for ${method}`],
    );
    assert.deepEqual([(await change(method, 'x')).status, (await change(method, '"-1"')).status], [400, 400]);
  }
  const { headers } = await uaa.call('GET', path, { token: admin });
  const seen = headers.get('etag')!;
  const changed = await change('PUT', seen);
  assert.equal(changed.status, 200);
  assert.notEqual(changed.headers.get('etag'), seen);
  for (const method of ['PUT', 'PATCH', 'DELETE']) {
    const late = await change(method, seen);
    assert.deepEqual([late.status, late.body.error], [409, 'scim_resource_conflict'], method);
    assert.equal(late.body.message, late.body.error_description, 'as UAA says it');
  }
  assert.deepEqual((await uaa.call('GET', path, { token: admin })).body, changed.body);
  assert.equal((await change('PATCH', changed.headers.get('etag')!)).status, 200);
  assert.equal((await change('PUT', '*')).status, 200);
  for (let round = 0; round < 10; round += 1) {
    const names = [{ givenName: `given ${round}` }, { familyName: `family ${round}` }];
    const answers = await Promise.all(
      names.map((name) => uaa.call('PATCH', path, { token: admin, json: { name }, headers: { 'if-match': '*' } })),
    );
    const { name } = (await uaa.call('GET', path, { token: admin })).body;
    const made = names.filter((_, index) => answers[index]?.status === 200);
    assert.deepEqual(name, { ...name, ...Object.assign({}, ...made) }, 'what was confirmed is not undone by another');
  }
  assert.equal((await change('DELETE')).status, 200);
});

test('a user has exactly one address', async () => {
  const make = (emails?: unknown) =>
    uaa.call('POST', '/Users', { token: admin, json: { userName: 'addressed', password: 'a long password', emails } });
  for (const emails of [undefined, [], [{ value: '' }], [{ value: 'a@b.test' }, { value: 'c@d.test' }]]) {
    const answer = await make(emails);
    assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_scim_resource'], JSON.stringify(emails));
  }
  const { body } = await make([{ value: 'a@b.test' }]);
  const headers = { 'if-match': '*' };
  const emptied = await uaa.call('PUT', `/Users/${body.id}`, {
    token: admin,
    json: { userName: 'addressed' },
    headers,
  });
  assert.deepEqual([emptied.status, emptied.body.error], [400, 'invalid_scim_resource']);
});

test('a name that is taken is told with the id of who has it', async () => {
  const id = await uaa.createUser('taken');
  const again = await uaa.call('POST', '/Users', {
    token: admin,
    json: { userName: 'TAKEN', password: 'a long password', emails: [{ value: 't@example.test' }] },
  });
  assert.equal(again.status, 409);
  assert.deepEqual([again.body.error, again.body.user_id], ['scim_resource_already_exists', id]);
  const elsewhere = await uaa.call('POST', '/Users', {
    token: admin,
    json: { userName: 'taken', origin: 'ldap', emails: [{ value: 't@example.test' }] },
  });
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
    uaa.call('POST', '/Users', {
      token: admin,
      json: { userName: 'weak', password, emails: [{ value: 'w@example.test' }] },
    });
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
  assert.deepEqual(await directory.byNames(['nobody', 'directory.entry', 'Directory.Entry']), [entry]);
  assert.deepEqual(await directory.byNames(['directory.entry'], 'ldap'), []);
  assert.deepEqual(await directory.byNames([]), []);
  assert.deepEqual(await directory.byPartialNames(['CTORY.e', 'no-one']), [entry]);
  assert.deepEqual(await directory.byPartialNames(['Directory%Entry']), []);
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
    (
      await uaa.call('POST', '/Users', {
        token: admin,
        json: { userName: '  ', password: 'a long password', emails: [{ value: 'a@b.test' }] },
      })
    ).status,
    400,
  );
  for (const mark of ['\n', '\u009b', '\u202e']) {
    const json = { userName: `a${mark}b`, password: 'a long password', emails: [{ value: 'a@b.test' }] };
    assert.equal((await uaa.call('POST', '/Users', { token: admin, json })).status, 400, JSON.stringify(mark));
  }
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
