import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { AccessTokenVerifier, InvalidTokenError } from '../../../src/contracts/access-token.ts';
import { TokenRevocations } from '../../../src/contracts/gen/token-revocations_pb.js';
import { RevocationList } from '../../../src/contracts/revocation-list.ts';
import { client, inMemoryTransport } from '../../../src/kit/rpc.ts';
import { ISSUER } from '../../support/cloud-controller.ts';
import { silentLog } from '../../support/postgresql.ts';
import { ADMIN_SECRET } from './support.ts';
import { BOUND_MS, done, EVERYWHERE, startVerifiers, type Verifiers } from './verifiers.ts';

let world: Verifiers;
let admin: string;
before(async () => {
  world = await startVerifiers();
});
after(() => world.close());
beforeEach(async () => {
  admin = await world.uaa.adminToken();
});

for (const how of ['with an error', 'never'] as const) {
  test(`SECURITY 14: while UAA answers ${how}, nobody is let in on old knowledge: 503, and when to come again`, async () => {
    const user = await world.developer();
    assert.deepEqual(await world.admitted(user.token), EVERYWHERE);
    world.asking.answers = how;
    try {
      let shown = await world.api(user.token);
      const since = performance.now();
      while (shown.status === 200 && performance.now() - since < BOUND_MS + 2_000) {
        await pause(200);
        shown = await world.api(user.token);
      }
      assert.deepEqual([shown.status, shown.headers.get('retry-after')], [503, '5']);
      assert.doesNotMatch(await shown.text(), /planted|inside/);
      const logs = await world.read(user.token);
      assert.deepEqual([logs.status, logs.headers.get('retry-after')], [503, '5']);
      await assert.rejects(world.ssh(user.token), 'not a plain no either');
      assert.equal((await fetch(`${world.apiUrl}/`)).status, 200, 'what needs no token is answered');
    } finally {
      world.asking.answers = 'at once';
    }
    const since = performance.now();
    let back = await world.api(user.token);
    while (back.status === 503 && performance.now() - since < 10_000) back = await world.api(user.token);
    assert.deepEqual(await world.admitted(user.token), EVERYWHERE, 'and then as before');
  });
}

test('SECURITY 14: a revocation that is committed after a later one is not missed', async () => {
  const [slow, quick] = [await world.developer(), await world.developer()];
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const { promise: written, resolve: wrote } = Promise.withResolvers<void>();
  const late = world.uaa.db.transaction().execute(async (trx) => {
    await trx.deleteFrom('users').where('id', '=', slow.id).execute();
    wrote();
    await held;
  });
  await written;
  await done(world.uaa.call('DELETE', `/Users/${quick.id}`, { token: admin }));
  await world.refusedWithinTheBound(quick.token);
  assert.deepEqual(await world.admitted(slow.token), EVERYWHERE, 'it is not committed yet');
  release();
  await late;
  await world.refusedWithinTheBound(slow.token);
});

test('SECURITY 14: a verifier that has just started knows what was revoked before', async () => {
  const user = await world.developer();
  await done(world.uaa.call('DELETE', `/Users/${user.id}`, { token: admin }));
  const fresh = new AccessTokenVerifier({
    issuer: ISSUER,
    audience: 'cloud_controller',
    keys: () => world.uaa.uaa.tokenKeys(),
    revocations: new RevocationList({
      uaa: client(TokenRevocations, inMemoryTransport(world.uaa.uaa.routes)),
      log: silentLog,
    }),
  });
  await assert.rejects(fresh.verify(user.token), InvalidTokenError);
  const forAnother = await world.uaa.clientToken('admin', ADMIN_SECRET);
  await assert.rejects(fresh.verify(forAnother), InvalidTokenError, 'not for this audience');
  await fresh.verify(admin);
});
