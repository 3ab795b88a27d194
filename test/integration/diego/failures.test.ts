import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code } from '@connectrpc/connect';
import { sql } from 'kysely';
import type { ActualLrp } from '../../../src/contracts/gen/diego_pb.js';
import { desired, eachTestHasAFoundation, failsWith, IMPATIENT, NOON, until } from '../../support/diego.ts';

const t = eachTestHasAFoundation(IMPATIENT, NOON);

test('DGO-04: an instance that crashes again and again waits longer each time, and the Cloud Controller hears of it', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web'));
  for (const crashCount of [1, 2]) {
    const [lrp] = await t.foundation.running('web', 1);
    await cell.crash(lrp!, 'exited with 1');
    const [again] = await t.foundation.lrps(
      'web',
      ([one]) => one?.state === 'RUNNING' && one.crashCount === crashCount,
    );
    assert.notEqual(again!.instanceGuid, lrp!.instanceGuid);
  }
  const [third] = await t.foundation.running('web', 1);
  await cell.crash(third!, 'exited with 3');
  const crashed = async (): Promise<ActualLrp> => (await t.foundation.lrps('web', ([one]) => one !== undefined))[0]!;
  assert.equal((await crashed()).state, 'CRASHED');
  assert.equal((await crashed()).crashReason, 'exited with 3');
  assert.equal((await crashed()).crashCount, 3);
  await t.foundation.pass(29_000, [cell]);
  assert.equal((await crashed()).state, 'CRASHED');
  await t.foundation.pass(1_000, [cell]);
  const [fourth] = await t.foundation.running('web', 1);
  await t.foundation.pass(300_000, [cell]);
  await cell.crash(fourth!, 'exited with 4');
  const [fresh] = await t.foundation.running('web', 1);
  assert.equal(fresh!.crashCount, 1);
  await until(() => t.foundation.crashes.length === 4);
  assert.deepEqual(
    t.foundation.crashes.map(({ processGuid, reason, crashCount }) => [processGuid, reason, crashCount]),
    [
      ['web', 'exited with 1', 1],
      ['web', 'exited with 1', 2],
      ['web', 'exited with 3', 3],
      ['web', 'exited with 4', 1],
    ],
  );
});

test('DGO-04: what a lost cell ran is placed elsewhere; the cell that comes back late is refused', async () => {
  const [lost, other] = [
    await t.foundation.addCell({ cellId: 'cell-1' }),
    await t.foundation.addCell({ cellId: 'cell-2' }),
  ];
  await t.foundation.bbs.desireLrp(desired('web', { instances: 4 }));
  const before = await t.foundation.running('web', 4);
  const its = before.filter(({ cellId }) => cellId === 'cell-1');
  assert.equal(its.length, 2);
  lost.answers = false;
  await t.foundation.pass(15_000, [other]);
  assert.equal((await t.foundation.running('web', 4)).filter(({ cellId }) => cellId === 'cell-1').length, 2);
  await t.foundation.pass(25_000, [other]);
  const now = await t.foundation.running('web', 4);
  assert.ok(now.every(({ cellId }) => cellId === 'cell-2'));
  lost.answers = true;
  await lost.heartbeat();
  await assert.rejects(lost.start(its[0]!), failsWith(Code.FailedPrecondition));
  assert.deepEqual((await lost.registry.actualLrpsOfCell({ cellId: 'cell-1' })).actualLrps, []);
});

test('DGO-04: a Diego that was away does not take its silence for that of the cells', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web'));
  const [before] = await t.foundation.running('web', 1);
  t.foundation.now! += 600_000; // suspended, or started again
  await sleep(100);
  assert.deepEqual((await t.foundation.running('web', 1))[0]!.instanceGuid, before!.instanceGuid);
  await t.foundation.pass(60_000, [cell]);
  assert.deepEqual((await t.foundation.running('web', 1))[0]!.instanceGuid, before!.instanceGuid);
});

test('an auctioneer killed between Perform and Claim: the reservation holds, then runs out', async () => {
  const silent = await t.foundation.addCell({ cellId: 'cell-1' });
  silent.claims = false; // takes the work and is never heard of it again
  await t.foundation.bbs.desireLrp(desired('web'));
  await until(() => silent.performed.length === 1);
  const other = await t.foundation.addCell({ cellId: 'cell-2' });
  t.foundation.diego.wake();
  await t.foundation.pass(25_000, [silent, other]);
  assert.equal(silent.performed.length + other.performed.length, 1);
  silent.presence.memoryMb = 1;
  await t.foundation.pass(10_000, [silent, other]);
  const [lrp] = await t.foundation.running('web', 1);
  assert.equal(lrp!.cellId, 'cell-2');
});

test('DGO-01: two Diegos on one database give no instance away twice', async () => {
  const second = await t.foundation.addDiego({ sweepIntervalMs: 20, auctionIntervalMs: 5 });
  const cells = await Promise.all(
    ['cell-1', 'cell-2', 'cell-3'].map((cellId) => t.foundation.addCell({ cellId, memoryMb: 65_536 })),
  );
  await Promise.all(
    Array.from({ length: 30 }, async (_, n) => {
      await t.foundation.bbs.desireLrp(desired(`app-${n}`, { instances: 4 }));
      second.wake();
      t.foundation.diego.wake();
    }),
  );
  for (let n = 0; n < 30; n += 1) await t.foundation.running(`app-${n}`, 4);
  assert.equal(
    cells.reduce((sum, cell) => sum + cell.performed.length, 0),
    120,
  );
});

test('DGO-01: what one Diego is asked the leading one places at once, woken by the bus', async () => {
  const slow = { auctionIntervalMs: 60_000, sweepIntervalMs: 60_000, convergeIntervalMs: 60_000 };
  await t.replace(slow);
  await t.foundation.addCell({ cellId: 'cell-1' });
  const second = await t.foundation.addDiego(slow);
  await sleep(100);
  await t.foundation.bbsOf(second).desireLrp(desired('web'));
  await t.foundation.running('web', 1);
});

test('DGO-01: when the leading Diego ends another one leads', async () => {
  const second = await t.foundation.addDiego(IMPATIENT);
  await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.diego.close();
  await t.foundation.bbs.desireLrp(desired('web'));
  await t.foundation.running('web', 1);
  await second.close();
});

test('DGO-01: a leader whose database session was ended leads again, or another one does', async () => {
  await t.foundation.addCell({ cellId: 'cell-1' });
  const ended = await sql`
    SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()`.execute(
    t.db,
  );
  assert.equal(ended.rows.length, 1);
  await t.foundation.bbs.desireLrp(desired('web'));
  await t.foundation.running('web', 1);
});
