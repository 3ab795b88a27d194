import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeJwt } from 'jose';
import { ADMIN_SECRET, startTestUaa, type TestUaa } from './support.ts';

let uaa: TestUaa;
before(async () => {
  uaa = await startTestUaa();
});
after(() => uaa.stop());

const filtered = (path: string, filter: string, token: string) =>
  uaa.call('GET', `${path}?filter=${encodeURIComponent(filter)}`, { token });

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
  assert.equal((await secret({ changeMode: 'DELETE' })).status, 200);
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

test('an update of a client leaves alone what it does not name', async () => {
  const token = await uaa.clientToken('admin', ADMIN_SECRET);
  const json = {
    client_id: 'kept',
    client_secret: 'kept-secret',
    name: 'Kept',
    authorized_grant_types: ['client_credentials'],
    authorities: ['scim.read'],
    scope: ['openid'],
    access_token_validity: 90,
  };
  const { body: before } = await uaa.call('POST', '/oauth/clients', { token, json });
  const changed = await uaa.call('PUT', '/oauth/clients/kept', {
    token,
    json: { authorities: ['scim.userids'], scope: [] },
  });
  assert.equal(changed.status, 200);
  const { lastModified: _now, ...after } = changed.body;
  const { lastModified: _then, ...expected } = { ...before, authorities: ['scim.userids'] };
  assert.deepEqual(after, expected);
});

test('a filter chooses clients, by words of their lists too; it never reaches their secrets', async () => {
  const token = await uaa.clientToken('admin', ADMIN_SECRET);
  const ids = async (filter: string) => {
    const { status, body } = await filtered('/oauth/clients', filter, token);
    return status === 200 ? body.resources.map((client: { client_id: string }) => client.client_id) : status;
  };
  assert.deepEqual(await ids('client_id eq "cf"'), ['cf']);
  assert.deepEqual(await ids('client_id sw "cloud_"'), ['cloud_controller']);
  assert.deepEqual(await ids('authorized_grant_types co "authorization_code"'), ['ssh-proxy']);
  for (const filter of ['secret_hashes pr', 'client_secret co "$2"', 'client_id eq'])
    assert.equal(await ids(filter), 400);
  const { body } = await uaa.call('GET', '/oauth/clients?attributes=client_id&count=1', { token });
  assert.deepEqual(body.resources, [{ client_id: 'admin' }]);
});
