import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, ConnectError } from '@connectrpc/connect';
import { sql } from 'kysely';
import type { ActualLrp } from '../../../src/contracts/gen/diego_pb.js';
import type { BbsSchema } from '../../../src/diego/schema.ts';
import type { FakeCell } from '../../support/cells.ts';
import { desired, TestFoundation, until } from '../../support/diego.ts';
import { startTestPostgresql, type TestPostgresql } from '../../support/postgresql.ts';

const NOON = Date.UTC(2030, 0, 1, 12);
let postgresql: TestPostgresql;
let foundation: TestFoundation;
before(async () => {
  postgresql = await startTestPostgresql(['bbs']);
});
after(() => postgresql.stop());
beforeEach(async () => {
  foundation = new TestFoundation(postgresql);
  foundation.now = NOON;
  await foundation.addDiego({ sweepIntervalMs: 20, auctionIntervalMs: 20 });
});
afterEach(async () => {
  await foundation.close();
  await sql`TRUNCATE desired_lrps, actual_lrps, tasks, cells`.execute(postgresql.open<BbsSchema>('bbs'));
});

const failsWith = (code: Code) => (error: unknown) => ConnectError.from(error).code === code;
/** Time passes in steps, as it does, while the given cells are heard of. */
async function pass(milliseconds: number, alive: readonly FakeCell[]): Promise<void> {
  for (let left = milliseconds; left > 0; left -= 5_000) {
    foundation.now! += Math.min(left, 5_000);
    for (const cell of alive) await cell.heartbeat();
    await sleep(60); // a few sweeps
  }
}

test('DGO-04: an instance that crashes again and again waits longer each time, and the Cloud Controller hears of it', async () => {
  const cell = await foundation.addCell({ cellId: 'cell-1' });
  await foundation.bbs.desireLrp(desired('web'));
  for (const crashCount of [1, 2]) {
    const [lrp] = await foundation.running('web', 1);
    await cell.crash(lrp!, 'exited with 1');
    const [again] = await foundation.lrps('web', ([one]) => one?.state === 'RUNNING' && one.crashCount === crashCount);
    assert.notEqual(again!.instanceGuid, lrp!.instanceGuid);
  }
  const [third] = await foundation.running('web', 1);
  await cell.crash(third!, 'exited with 3');
  const crashed = async (): Promise<ActualLrp> => (await foundation.lrps('web', ([one]) => one !== undefined))[0]!;
  assert.equal((await crashed()).state, 'CRASHED');
  assert.equal((await crashed()).crashReason, 'exited with 3');
  assert.equal((await crashed()).crashCount, 3);
  await pass(29_000, [cell]);
  assert.equal((await crashed()).state, 'CRASHED');
  await pass(1_000, [cell]);
  const [fourth] = await foundation.running('web', 1);
  await pass(300_000, [cell]);
  await cell.crash(fourth!, 'exited with 4');
  const [fresh] = await foundation.running('web', 1);
  assert.equal(fresh!.crashCount, 1);
  await until(() => foundation.crashes.length === 4);
  assert.deepEqual(
    foundation.crashes.map(({ processGuid, reason, crashCount }) => [processGuid, reason, crashCount]),
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
    await foundation.addCell({ cellId: 'cell-1' }),
    await foundation.addCell({ cellId: 'cell-2' }),
  ];
  await foundation.bbs.desireLrp(desired('web', { instances: 4 }));
  const before = await foundation.running('web', 4);
  const its = before.filter(({ cellId }) => cellId === 'cell-1');
  assert.equal(its.length, 2);
  lost.answers = false;
  await pass(15_000, [other]);
  assert.equal((await foundation.running('web', 4)).filter(({ cellId }) => cellId === 'cell-1').length, 2);
  await pass(25_000, [other]);
  const now = await foundation.running('web', 4);
  assert.ok(now.every(({ cellId }) => cellId === 'cell-2'));
  lost.answers = true;
  await lost.heartbeat();
  await assert.rejects(lost.start(its[0]!), failsWith(Code.FailedPrecondition));
  assert.deepEqual((await lost.registry.actualLrpsOfCell({ cellId: 'cell-1' })).actualLrps, []);
});

test('DGO-04: a Diego that was away does not take its silence for that of the cells', async () => {
  const cell = await foundation.addCell({ cellId: 'cell-1' });
  await foundation.bbs.desireLrp(desired('web'));
  const [before] = await foundation.running('web', 1);
  foundation.now! += 600_000; // suspended, or started again
  await sleep(100);
  assert.deepEqual((await foundation.running('web', 1))[0]!.instanceGuid, before!.instanceGuid);
  await pass(60_000, [cell]);
  assert.deepEqual((await foundation.running('web', 1))[0]!.instanceGuid, before!.instanceGuid);
});

test('an auctioneer killed between Perform and Claim: the reservation holds, then runs out', async () => {
  const silent = await foundation.addCell({ cellId: 'cell-1' });
  silent.claims = false; // takes the work and is never heard of it again
  await foundation.bbs.desireLrp(desired('web'));
  await until(() => silent.performed.length === 1);
  const other = await foundation.addCell({ cellId: 'cell-2' });
  foundation.diego.wake();
  await pass(25_000, [silent, other]);
  assert.equal(silent.performed.length + other.performed.length, 1);
  silent.presence.memoryMb = 1;
  await pass(10_000, [silent, other]);
  const [lrp] = await foundation.running('web', 1);
  assert.equal(lrp!.cellId, 'cell-2');
});

test('DGO-01: two Diegos on one database give no instance away twice', async () => {
  const second = await foundation.addDiego({ sweepIntervalMs: 20, auctionIntervalMs: 5 });
  const cells = await Promise.all(
    ['cell-1', 'cell-2', 'cell-3'].map((cellId) => foundation.addCell({ cellId, memoryMb: 65_536 })),
  );
  await Promise.all(
    Array.from({ length: 30 }, async (_, n) => {
      await foundation.bbs.desireLrp(desired(`app-${n}`, { instances: 4 }));
      second.wake();
      foundation.diego.wake();
    }),
  );
  for (let n = 0; n < 30; n += 1) await foundation.running(`app-${n}`, 4);
  assert.equal(
    cells.reduce((sum, cell) => sum + cell.performed.length, 0),
    120,
  );
});

test('DGO-01: what one Diego is asked the leading one places at once, woken by the bus', async () => {
  await foundation.close();
  foundation = new TestFoundation(postgresql);
  const slow = { auctionIntervalMs: 60_000, sweepIntervalMs: 60_000, convergeIntervalMs: 60_000 };
  await foundation.addDiego(slow);
  await foundation.addCell({ cellId: 'cell-1' });
  const second = await foundation.addDiego(slow);
  await sleep(100);
  await foundation.bbsOf(second).desireLrp(desired('web'));
  await foundation.running('web', 1);
});

test('DGO-01: when the leading Diego ends another one leads', async () => {
  const second = await foundation.addDiego({ sweepIntervalMs: 20, auctionIntervalMs: 20 });
  await foundation.addCell({ cellId: 'cell-1' });
  await foundation.diego.close();
  await foundation.bbs.desireLrp(desired('web'));
  await foundation.running('web', 1);
  await second.close();
});

test('DGO-01: a leader whose database session was ended leads again, or another one does', async () => {
  await foundation.addCell({ cellId: 'cell-1' });
  const db = postgresql.open<BbsSchema>('bbs');
  const ended = await sql`
    SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()`.execute(db);
  assert.equal(ended.rows.length, 1);
  await foundation.bbs.desireLrp(desired('web'));
  await foundation.running('web', 1);
});
