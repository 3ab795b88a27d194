import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type Kysely, sql, type Transaction } from 'kysely';
import { Sealer } from '../../../src/kit/crypto.ts';
import { SigningKeys } from '../../../src/uaa/keys/signing-keys.ts';
import type { UaaSchema } from '../../../src/uaa/schema.ts';
import { eventually } from '../../support/apps.ts';
import { ADMIN_SECRET, type Answer, startTestUaa, type TestUaa } from './support.ts';

let uaa: TestUaa;
let admin: string;
before(async () => {
  uaa = await startTestUaa();
  admin = await uaa.clientToken('admin', ADMIN_SECRET);
});
after(() => uaa.stop());

/**
 * Begins `request` while `change` is under way, so that it reads what was before; the change is committed as soon as the
 * request waits for it.
 */
async function meanwhile<Result>(
  change: (trx: Transaction<UaaSchema>) => Promise<unknown>,
  request: () => Promise<Result>,
): Promise<Result> {
  const { promise: committed, resolve: commit } = Promise.withResolvers<void>();
  const { promise: changed, resolve: ready, reject: failed } = Promise.withResolvers<void>();
  const transaction = uaa.db.transaction().execute(async (trx) => {
    await change(trx).then(() => ready(), failed);
    await committed;
  });
  try {
    await changed;
    const answer = request();
    await eventually(() => somebodyWaits(uaa.db));
    commit();
    await transaction;
    return await answer;
  } finally {
    commit();
  }
}

async function somebodyWaits(db: Kysely<UaaSchema>): Promise<boolean> {
  const { rows } = await sql`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'`.execute(db);
  return rows.length > 0;
}

async function client(clientId: string, more: Record<string, unknown> = {}): Promise<void> {
  const json = {
    client_id: clientId,
    client_secret: 'first-secret',
    authorized_grant_types: ['client_credentials'],
    authorities: ['clients.secret'],
    ...more,
  };
  assert.equal((await uaa.call('POST', '/oauth/clients', { token: admin, json })).status, 201);
}

const row = (clientId: string) =>
  uaa.db.selectFrom('clients').selectAll().where('client_id', '=', clientId).executeTakeFirstOrThrow();
const change = (clientId: string, values: { secret_hashes?: string[]; authorities?: string[] }) => {
  return (trx: Transaction<UaaSchema>) =>
    trx.updateTable('clients').set(values).where('client_id', '=', clientId).execute();
};
const putSecret = (clientId: string, json: Record<string, unknown>, token = admin): Promise<Answer> =>
  uaa.call('PUT', `/oauth/clients/${clientId}/secret`, { token, json });

test('SECURITY 14: a secret that is replaced while another is added stays out', async () => {
  await client('leaked');
  const added = await meanwhile(change('leaked', { secret_hashes: ['replaced'] }), () =>
    putSecret('leaked', { secret: 'second-secret', changeMode: 'ADD' }),
  );
  assert.equal(added.status, 200);
  const { secret_hashes: hashes } = await row('leaked');
  assert.deepEqual([hashes.length, hashes[1]], [2, 'replaced']);
  assert.equal((await uaa.grant({ grant_type: 'client_credentials' }, 'leaked:first-secret')).status, 401);
  await uaa.clientToken('leaked', 'second-secret');
});

test('of two secrets that are added at the same time one is refused, and none is lost', async () => {
  await client('twice');
  const { secret_hashes: hashes } = await row('twice');
  const added = await meanwhile(change('twice', { secret_hashes: ['other', ...hashes] }), () =>
    putSecret('twice', { secret: 'third-secret', changeMode: 'ADD' }),
  );
  assert.deepEqual([added.status, added.body.error], [400, 'invalid_client']);
  assert.deepEqual((await row('twice')).secret_hashes, ['other', ...hashes]);
});

test('SECURITY 14: a client whose secret is replaced meanwhile does not set a new one by the former', async () => {
  await client('robbed');
  const token = await uaa.clientToken('robbed', 'first-secret');
  const answer = await meanwhile(change('robbed', { secret_hashes: ['replaced'] }), () =>
    putSecret('robbed', { secret: 'thief-secret', oldSecret: 'first-secret' }, token),
  );
  assert.deepEqual([answer.status, answer.body.error], [401, 'invalid_client']);
  assert.deepEqual((await row('robbed')).secret_hashes, ['replaced']);
});

test('SECURITY 14: an update of a client does not bring back what another takes away at the same time', async () => {
  await client('less', { authorities: ['scim.read', 'scim.write'] });
  const updated = await meanwhile(change('less', { authorities: ['scim.read'] }), () =>
    uaa.call('PUT', '/oauth/clients/less', { token: admin, json: { name: 'Named' } }),
  );
  assert.deepEqual([updated.status, updated.body.authorities, updated.body.name], [200, ['scim.read'], 'Named']);
  assert.deepEqual((await row('less')).authorities, ['scim.read']);
});

test('a client that is given more than the caller has meanwhile is neither changed nor deleted by them', async () => {
  await client('keeper', { authorities: ['clients.write'] });
  const token = await uaa.clientToken('keeper', 'first-secret');
  for (const [method, json] of [
    ['PUT', { name: 'Taken' }],
    ['DELETE', undefined],
  ] as const) {
    await client('grown', { authorities: ['clients.write'] });
    const answer = await meanwhile(change('grown', { authorities: ['clients.write', 'scim.write'] }), () =>
      uaa.call(method, '/oauth/clients/grown', { token, ...(json ? { json } : {}) }),
    );
    assert.deepEqual([answer.status, answer.body.error], [403, 'access_denied'], method);
    assert.equal((await row('grown')).name, null);
    await uaa.call('DELETE', '/oauth/clients/grown', { token: admin });
  }
});

test('SECURITY 14: who proved the old password before its owner replaced it does not replace theirs', async () => {
  const id = await uaa.createUser('victim', 'the old password');
  const token = await uaa.login('victim', 'the old password');
  const answer = await meanwhile(
    (trx) => trx.updateTable('users').set({ password_hash: 'of the owner' }).where('id', '=', id).execute(),
    () =>
      uaa.call('PUT', `/Users/${id}/password`, {
        token,
        json: { oldPassword: 'the old password', password: 'of the thief' },
      }),
  );
  assert.deepEqual([answer.status, answer.body.error], [409, 'scim_resource_conflict']);
  const user = await uaa.db.selectFrom('users').select('password_hash').where('id', '=', id).executeTakeFirstOrThrow();
  assert.equal(user.password_hash, 'of the owner');
});

test('an administrator sets a password whatever it is by then, and is told where the user is gone', async () => {
  const id = await uaa.createUser('reset', 'the old password');
  const token = await uaa.adminToken();
  const reset = () => uaa.call('PUT', `/Users/${id}/password`, { token, json: { password: 'set by the operator' } });
  const answer = await meanwhile(
    (trx) => trx.updateTable('users').set({ password_hash: 'of the thief' }).where('id', '=', id).execute(),
    reset,
  );
  assert.equal(answer.status, 200);
  await uaa.login('reset', 'set by the operator');
  const late = await meanwhile(
    (trx) => trx.deleteFrom('users').where('id', '=', id).execute(),
    () => uaa.call('PUT', `/Users/${id}/password`, { token, json: { password: 'set once more' } }),
  );
  assert.equal(late.status, 404);
});

test('a name that two users take at the same time is told as taken, to the later one', async () => {
  const id = await uaa.createUser('renamed');
  const other = await uaa.createUser('other');
  const answer = await meanwhile(
    (trx) => trx.updateTable('users').set({ user_name: 'wanted' }).where('id', '=', other).execute(),
    async () =>
      uaa.call('PATCH', `/Users/${id}`, {
        token: await uaa.adminToken(),
        json: { userName: 'Wanted' },
        headers: { 'if-match': '*' },
      }),
  );
  assert.deepEqual(
    [answer.status, answer.body.error, answer.body.user_id],
    [409, 'scim_resource_already_exists', other],
  );
});

test('nobody becomes a member who is deleted meanwhile, or of a group that is', async () => {
  const token = await uaa.adminToken();
  const group = async (displayName: string): Promise<string> => {
    const { status, body } = await uaa.call('POST', '/Groups', { token, json: { displayName } });
    assert.equal(status, 201);
    return body.id;
  };
  const add = (id: string, value: string, type = 'USER') =>
    uaa.call('POST', `/Groups/${id}/members`, { token, json: { value, type } });
  const remove = (table: 'users' | 'groups', id: string) => (trx: Transaction<UaaSchema>) =>
    trx.deleteFrom(table).where('id', '=', id).execute();

  const [outer, inner, ended] = [await group('outer'), await group('inner'), await group('ended')];
  const user = await uaa.createUser('leaving');
  for (const [what, into, member, type] of [
    [remove('users', user), outer, user, 'USER'],
    [remove('groups', inner), outer, inner, 'GROUP'],
    [remove('groups', ended), ended, outer, 'GROUP'],
  ] as const) {
    const answer = await meanwhile(what, () => add(into, member, type));
    assert.deepEqual([answer.status, answer.body.error], [404, 'scim_resource_not_found']);
  }
  const left = await uaa.db.selectFrom('group_members').selectAll().where('group_id', '=', outer).execute();
  assert.deepEqual(left, []);
});

test('a signing key that signs by what the database says is not dropped by a process that does not know it yet', async () => {
  const sealer = new Sealer([{ label: 'test', key: randomBytes(32) }]);
  await uaa.db.deleteFrom('signing_keys').execute();
  let now = Date.now();
  const keys = new SigningKeys(uaa.db, sealer, () => new Date(now));
  await keys.start();
  const other = new SigningKeys(uaa.db, sealer, () => new Date(now));
  await other.start();
  const second = await keys.rotate();
  now += 60_000;
  await assert.rejects(other.drop(second), { code: 'signing_key_in_use' });
  assert.equal((await keys.publicKeys()).keys.length, 2);
});
