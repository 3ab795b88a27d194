import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { sql } from 'kysely';
import { type ActualLrp, RouteSchema, TaskSchema } from '../../../src/contracts/gen/diego_pb.js';
import type { FakeCell } from '../../support/cells.ts';
import { desired, eachTestHasAFoundation, failsWith, until } from '../../support/diego.ts';
import { whileHeld } from '../../support/held.ts';

const TIMING = { sweepIntervalMs: 20, auctionIntervalMs: 20, evacuationOverlapMs: 100 };
const t = eachTestHasAFoundation(TIMING);

const routes = [create(RouteSchema, { guid: 'r', host: 'web.example.org', port: 8080, protocol: 'http1' })];
const drain = (cellId: string, draining = true) => t.foundation.operations.setDraining({ cellId, draining });
const summary = async (cellId: string) =>
  (await t.foundation.operations.list({})).cells.find(({ presence }) => presence?.cellId === cellId)!;
const endpoints = async () => (await t.foundation.bbs.routingTable({})).entries.flatMap((entry) => entry.endpoints);

test('HAV-01: a drained cell goes on serving until the instance elsewhere runs; only then it is told to stop', async () => {
  const one = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web', { instances: 2, routes }));
  const before = await t.foundation.running('web', 2);
  const two = await t.foundation.addCell({ cellId: 'cell-2' });
  two.starts = false; // claims, and takes its time
  await drain('cell-1');
  await until(() => two.held.size === 2);
  await sleep(200);
  assert.equal(one.stopped.length, 0);
  assert.deepEqual(
    (await endpoints()).map(({ instanceGuid }) => instanceGuid),
    before.map((lrp) => lrp.instanceGuid),
  );
  const meanwhile = await t.foundation.running('web', 2);
  assert.ok(meanwhile.every(({ evacuating, cellId }) => evacuating && cellId === 'cell-1'));
  assert.deepEqual(
    (await summary('cell-1')).waiting.map(({ reason, instances }) => [reason, instances]),
    [['', 2]],
  );

  const [first, second] = [...two.held.values()].map(({ lrp }) => lrp);
  await two.start(first!);
  const served = await endpoints();
  assert.equal(served.length, 2);
  assert.equal(served.find(({ index }) => index === first!.index)!.instanceGuid, first!.instanceGuid);
  const replacedGuid = before.find(({ index }) => index === first!.index)!.instanceGuid;
  await until(() => one.stopped.includes(replacedGuid));
  assert.deepEqual(new Set(one.stopped), new Set([replacedGuid]));
  await two.start(second!);
  await until(() => one.held.size === 0);
  await until(async () => (await summary('cell-1')).instances === 0);
  assert.ok(
    (await t.foundation.running('web', 2)).every(({ cellId, evacuating }) => cellId === 'cell-2' && !evacuating),
  );
});

test('HAV-01: an instance elsewhere that is ready long after it runs has its time of overlap from then on', async () => {
  await t.replace({ ...TIMING, evacuationOverlapMs: 1000 });
  const one = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web', { routes }));
  await t.foundation.running('web', 1);
  const two = await t.foundation.addCell({ cellId: 'cell-2' });
  two.starts = false;
  await drain('cell-1');
  await until(() => two.held.size === 1);
  const [next] = [...two.held.values()].map(({ lrp }) => lrp);
  await two.start({ ...next!, routable: false });
  await sleep(1200);
  const ready = Date.now();
  await two.start({ ...next!, routable: true });
  await until(() => one.stopped.length === 1);
  assert.ok(Date.now() - ready >= 950, `it was told to stop ${Date.now() - ready} ms after the other was ready`);
});

test('HAV-01: without room elsewhere the instance stays and says why; it moves when there is room', async () => {
  const one = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web', { routes }));
  await t.foundation.running('web', 1);
  await t.foundation.addCell({ cellId: 'cell-2', memoryMb: 1 });
  await drain('cell-1');
  await until(async () => (await summary('cell-1')).waiting[0]?.reason === 'insufficient resources: memory');
  const [lrp] = await t.foundation.running('web', 1);
  assert.equal(lrp!.cellId, 'cell-1');
  assert.equal(lrp!.placementError, 'insufficient resources: memory');
  assert.equal((await endpoints()).length, 1);
  await t.foundation.addCell({ cellId: 'cell-3' });
  await t.foundation.lrps('web', ([one]) => one?.cellId === 'cell-3' && one.state === 'RUNNING');
  await until(() => one.held.size === 0);
});

test('HAV-01: a drain outlives control and the cell process, and gives places back when it is called off', async () => {
  const one = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web', { routes }));
  const [before] = await t.foundation.running('web', 1);
  await drain('cell-1');
  await t.foundation.lrps('web', ([lrp]) => lrp?.evacuating === true);
  await t.replace(TIMING);
  t.foundation.cells.set('cell-1', one);
  Object.assign(one, { registry: (await t.foundation.addCell({ cellId: 'cell-1' })).registry });
  t.foundation.cells.set('cell-1', one);
  assert.equal((await summary('cell-1')).presence!.draining, true);
  // The cell's next process reports what it found running, and takes no place with it.
  await one.start(before!);
  assert.equal((await t.foundation.running('web', 1))[0]!.evacuating, true);
  assert.equal((await one.registry.actualLrpsOfCell({ cellId: 'cell-1' })).actualLrps[0]!.evacuating, true);
  await drain('cell-1', false);
  const [after] = await t.foundation.lrps('web', ([lrp]) => lrp?.evacuating === false);
  assert.equal(after!.instanceGuid, before!.instanceGuid);
  assert.equal(one.stopped.length, 0);
});

test('HAV-01: a cell in use again has its instances back, also where another had promised to take them and did not', async () => {
  await t.replace({ ...TIMING, placementLeaseMs: 300 });
  const one = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web', { routes }));
  const [before] = await t.foundation.running('web', 1);
  const two = await t.foundation.addCell({ cellId: 'cell-2' });
  two.claims = false;
  await drain('cell-1');
  await until(() => two.performed.length === 1);
  await drain('cell-1', false);
  await drain('cell-2');
  const [after] = await t.foundation.lrps('web', ([lrp]) => lrp?.evacuating === false && lrp.state === 'RUNNING');
  assert.equal(after!.instanceGuid, before!.instanceGuid);
  assert.deepEqual(one.stopped, []);
});

/** An instance that leaves a drained cell and finds no other place. */
async function leaving() {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web', { routes }));
  await t.foundation.running('web', 1);
  await drain('cell-1');
  const [lrp] = await t.foundation.lrps('web', ([one]) => one?.evacuating === true);
  return { cell, lrp: lrp! };
}
const another = (than: string) =>
  t.foundation.lrps('web', ([lrp]) => lrp?.state === 'RUNNING' && !lrp.evacuating && lrp.instanceGuid !== than);

test('HAV-01: a cell in use again has its instance back at once where the place was promised to itself', async () => {
  const { lrp } = await leaving();
  await sql`UPDATE actual_lrps SET placed_cell = 'cell-1', placed_until_ms = ${Date.now() + 600_000}`.execute(t.db);
  await drain('cell-1', false);
  const [after] = await t.foundation.lrps('web', ([one]) => one?.evacuating === false && one.state === 'RUNNING');
  assert.equal(after!.instanceGuid, lrp.instanceGuid);
});

test('HAV-01: an instance that ends while its cell is used again is not taken back', async () => {
  const { cell, lrp } = await leaving();
  cell.held.clear();
  const ended = (trx: typeof t.db) => sql`DELETE FROM evacuating_lrps`.execute(trx);
  await whileHeld(t.db, ended, () => drain('cell-1', false));
  await another(lrp.instanceGuid);
});

for (const [end, report] of [
  ['stop', (cell, lrp) => cell.registry.removeActualLrp(lrp)],
  ['crash', (cell, lrp) => cell.registry.crashActualLrp({ ...lrp, crashReason: 'exited with 1' })],
] satisfies [string, (cell: FakeCell, lrp: ActualLrp) => Promise<unknown>][])
  test(`HAV-01: the ${end} of an instance is not missed where it is taken back meanwhile`, async () => {
    const { cell, lrp } = await leaving();
    cell.held.clear();
    const held = (trx: typeof t.db) => sql`SELECT * FROM evacuating_lrps FOR UPDATE`.execute(trx);
    await whileHeld(t.db, held, () => report(cell, lrp), {
      last: async (trx) => {
        await sql`DELETE FROM cell_drains`.execute(trx);
        await sql`DELETE FROM evacuating_lrps`.execute(trx);
        await sql`UPDATE actual_lrps SET state = 'RUNNING', cell_id = ${lrp.cellId}, instance_guid = ${lrp.instanceGuid}`.execute(
          trx,
        );
      },
    });
    await another(lrp.instanceGuid);
  });

test('HAV-01: a draining cell gets neither instances nor staging; its tasks go on to their end', async () => {
  const one = await t.foundation.addCell({ cellId: 'cell-1' });
  const work = { case: 'command' as const, value: { command: 'sleep' } };
  await t.foundation.bbs.desireTask(create(TaskSchema, { taskGuid: 'before', stack: 'debian12', memoryMb: 64, work }));
  await until(() => one.tasks.size === 1);
  await drain('cell-1');
  const staging = { case: 'staging' as const, value: { package: { url: 'https://blobs/p' } } };
  await t.foundation.bbs.desireTask(
    create(TaskSchema, { taskGuid: 'after', stack: 'debian12', memoryMb: 64, work: staging }),
  );
  await t.foundation.bbs.desireLrp(desired('web'));
  await t.foundation.lrps('web', ([lrp]) => lrp?.placementError === 'unable to communicate to compatible cells');
  assert.equal(one.tasks.size, 1);
  assert.deepEqual(one.cancelled, []);
  assert.equal((await summary('cell-1')).tasks, 1);
  const two = await t.foundation.addCell({ cellId: 'cell-2' });
  await until(() => two.tasks.has('after') && two.held.size === 1);
});

test('DGO-04: an instance that leaves and crashes or is scaled away leaves no row behind', async () => {
  const one = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web', { instances: 2, routes }));
  const [first] = await t.foundation.running('web', 2);
  await drain('cell-1');
  await t.foundation.lrps('web', (lrps) => lrps.every(({ evacuating }) => evacuating));
  await one.crash(first!, 'exited');
  await t.foundation.lrps('web', ([lrp]) => lrp?.state === 'UNCLAIMED');
  await until(() => t.foundation.crashes.length === 1);
  assert.equal((await endpoints()).length, 1);
  await t.foundation.bbs.updateDesiredLrp({ processGuid: 'web', instances: 1 });
  await until(async () => (await summary('cell-1')).instances === 0);
  assert.equal(one.held.size, 0);
});

test('a cell nobody heard of cannot be drained', async () => {
  await assert.rejects(drain('cell-9'), failsWith(Code.NotFound));
});

test('DGO-04: a crash that the Cloud Controller could not be told before control ended is told by the next', async () => {
  const cell = await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.bbs.desireLrp(desired('web'));
  const [lrp] = await t.foundation.running('web', 1);
  t.foundation.failCrashReports = true;
  await cell.crash(lrp!, 'exited with 7');
  await sleep(50);
  await t.replace(TIMING);
  await until(() => t.foundation.crashes.length === 1);
  assert.equal(t.foundation.crashes[0]!.reason, 'exited with 7');
});
