import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeJwt } from 'jose';
import { startTestUaa, type TestUaa } from './support.ts';

let uaa: TestUaa;
let admin: string;
before(async () => {
  uaa = await startTestUaa();
  admin = await uaa.adminToken();
});
after(() => uaa.stop());

const filtered = (path: string, filter: string, token = admin) => uaa.filtered(path, filter, token);

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
  // The administrator was in it, too, by way of the circle: a token from before ends with the membership.
  admin = await uaa.adminToken();
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

test('a list of groups shows the attributes that are asked for, and the members of each', async () => {
  const user = await uaa.createUser('listed');
  const json = { displayName: 'listed.group', members: [{ value: user }] };
  assert.equal((await uaa.call('POST', '/Groups', { token: admin, json })).status, 201);
  const filter = `filter=${encodeURIComponent('displayName sw "listed."')}`;
  const whole = await uaa.call('GET', `/Groups?${filter}`, { token: admin });
  assert.deepEqual(whole.body.resources[0].members, [{ value: user, type: 'USER', origin: 'uaa' }]);
  const cut = await uaa.call('GET', `/Groups?${filter}&attributes=displayName`, { token: admin });
  assert.deepEqual(cut.body.resources, [{ displayName: 'listed.group' }]);
});

test('the members of a group are shown as who they are, where that is asked for', async () => {
  const user = await uaa.createUser('shown-whole');
  const make = async (displayName: string, members: unknown) =>
    (await uaa.call('POST', '/Groups', { token: admin, json: { displayName, members } })).body.id as string;
  const inner = await make('shown.inner', [{ value: user }]);
  const outer = await make('shown.outer', [{ value: user }, { value: inner, type: 'GROUP' }]);
  /** The user first: those who were added at once come in no order. */
  const members = async (query: string) => {
    const { body } = await uaa.call('GET', `/Groups/${outer}/members${query}`, { token: admin });
    return ['USER', 'GROUP'].map((wanted) => body.find(({ type }: { type: string }) => type === wanted));
  };
  const plain = { value: user, type: 'USER', origin: 'uaa' };
  for (const query of ['', '?returnEntities=false']) {
    assert.deepEqual((await members(query))[0], plain);
  }
  const [first, second] = await members('?returnEntities=true');
  const { entity, ...rest } = first;
  assert.deepEqual(rest, plain);
  assert.deepEqual(entity, (await uaa.call('GET', `/Users/${user}`, { token: admin })).body);
  assert.deepEqual(second.entity, (await uaa.call('GET', `/Groups/${inner}`, { token: admin })).body);
});

test('a group with a member who does not exist is not made at all', async () => {
  const user = await uaa.createUser('half-made');
  const json = { displayName: 'half.made', members: [{ value: user }, { value: 'nobody' }] };
  const refused = await uaa.call('POST', '/Groups', { token: admin, json });
  assert.deepEqual(
    [refused.status, refused.body.error, refused.body.error_description],
    [400, 'invalid_scim_resource', 'Invalid group member: nobody'],
  );
  assert.equal((await filtered('/Groups', 'displayName eq "half.made"')).body.totalResults, 0);
});

test('groups of other identity providers: none are mapped, and none can be', async () => {
  for (const path of ['/Groups/External', '/Groups/External/list']) {
    const { status, body } = await uaa.call('GET', path, { token: admin });
    assert.deepEqual([status, body.resources, body.totalResults, body.startIndex], [200, [], 0, 1], path);
  }
  const json = { groupId: 'x', externalGroup: 'cn=developers', origin: 'ldap' };
  const mapped = await uaa.call('POST', '/Groups/External', { token: admin, json });
  assert.deepEqual([mapped.status, mapped.body.error], [400, 'scim']);
  assert.match(mapped.body.error_description, /no identity provider has groups/);
  const path = '/Groups/External/groupId/x/externalGroup/cn=developers/origin/ldap';
  const gone = await uaa.call('DELETE', path, { token: admin });
  assert.deepEqual([gone.status, gone.body.error], [404, 'scim_resource_not_found']);
});
