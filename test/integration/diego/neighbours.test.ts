import assert from 'node:assert/strict';
import { test } from 'node:test';
import { desired, eachTestHasAFoundation, until } from '../../support/diego.ts';

const t = eachTestHasAFoundation({ auctionIntervalMs: 100 });
const tiny = (organizationGuid: string, instances: number) => ({
  instances,
  memoryMb: 1,
  diskMb: 1,
  owner: { organizationGuid },
});
const ofOrganization = (cellId: string, name: string): number =>
  [...t.foundation.cells.get(cellId)!.held.values()].filter(({ desired: lrp }) => lrp.owner?.organizationGuid === name)
    .length;

test("SECURITY 32: a neighbour's app and staging start beside another organization's 1,500 tiny instances", async () => {
  await t.foundation.addCell({ cellId: 'cell-1' });
  for (let app = 0; app < 6; app += 1) await t.foundation.bbs.desireLrp(desired(`greedy-${app}`, tiny('greedy', 250)));
  await until(() => ofOrganization('cell-1', 'greedy') === 225);
  // Nine tenths of the 250 containers; the other 1,275 wait and are asked about in every auction.
  await t.foundation.bbs.desireLrp(desired('shop', { ...tiny('neighbour', 3), memoryMb: 64, diskMb: 64 }));
  await t.foundation.running('shop', 3);
  await t.foundation.bbs.desireTask({
    taskGuid: 'staging',
    domain: 'cf-app-staging',
    stack: 'debian12',
    memoryMb: 64,
    diskMb: 64,
    owner: { organizationGuid: 'neighbour' },
    work: { case: 'command', value: { command: 'true' } },
  });
  await until(() => t.foundation.cells.get('cell-1')!.tasks.has('staging'));
  // A restart: the new version starts while the old one is there.
  await t.foundation.bbs.desireLrp(desired('shop-next', { ...tiny('neighbour', 3), memoryMb: 64, diskMb: 64 }));
  await t.foundation.running('shop-next', 3);
  assert.equal(ofOrganization('cell-1', 'greedy'), 225);
  const waiting = (await t.foundation.bbs.actualLrps({ processGuids: ['greedy-5'] })).actualLrps;
  const errors = new Set(waiting.filter(({ state }) => state === 'UNCLAIMED').map((lrp) => lrp.placementError));
  assert.deepEqual([...errors], ["insufficient resources: the organization's share of containers"]);
});

test('SECURITY 32: a batch has something of every organization, however much one waits for', async () => {
  await t.replace({ auctionIntervalMs: 100, auctionBatch: 20 });
  // Nobody takes it yet.
  await t.foundation.bbs.desireLrp(desired('greedy', tiny('greedy', 250)));
  for (let app = 0; app < 40; app += 1) await t.foundation.bbs.desireLrp(desired(`greedy-${app}`, tiny('greedy', 1)));
  await t.foundation.bbs.desireLrp(desired('shop', { ...tiny('neighbour', 2), memoryMb: 5_000 }));
  await t.foundation.bbs.desireLrp(desired('tool', tiny('neighbour', 3)));
  const placementErrors = async (): Promise<string[]> =>
    (await t.foundation.bbs.actualLrps({ processGuids: ['tool'] })).actualLrps.map((lrp) => lrp.placementError);
  await until(async () => (await placementErrors()).every((error) => error !== ''));
  await t.foundation.addCell({ cellId: 'cell-1' });
  await t.foundation.running('tool', 3);
});
