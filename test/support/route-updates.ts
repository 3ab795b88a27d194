import assert from 'node:assert/strict';
import { Bbs, type RouteEntry } from '../../src/contracts/gen/diego_pb.js';
import { client, inMemoryTransport } from '../../src/kit/rpc.ts';
import { DesiredState } from '../../src/router/desired-state.ts';
import { Fingerprints } from '../../src/router/fingerprints.ts';
import { byProcess } from '../../src/router/process-routes.ts';
import type { RouteChange, RouteTable } from '../../src/router/route-table.ts';
import { WholeTable } from '../../src/router/whole-table.ts';
import { routeEntry } from './request-path.ts';
import { routingFingerprintsOf, routingTableOf } from './routing-table.ts';
import { seeded } from './seeded.ts';

export const OPTIONS = { systemHosts: ['api.example.org'], poolSize: 6, http2Apps: false };
const HOSTS = ['a', 'b', 'c', 'd', 'e', 'api'].map((name) => `${name}.example.org`);
const APPS = ['one', 'two', 'three', 'four', 'five', 'six'];
const STEPS = 400;

function numbers(seed: number): (below: number) => number {
  const next = seeded(seed);
  return (below) => next() % below;
}

/** Some routes of one LRP, with some of its instances behind them. Two LRPs are of one app, as in a deployment. */
function randomEntries(lrp: string, random: (below: number) => number): RouteEntry[] {
  const guids = Array.from({ length: random(4) }, () => `${lrp}-${random(5)}`);
  return Array.from({ length: random(4) }, () => {
    const host = HOSTS[random(HOSTS.length)]!;
    // At times the instances behind two routes of an LRP differ.
    const some = random(5) === 0 ? guids.slice(1) : guids;
    const entry = routeEntry(
      {
        host,
        path: random(4) === 0 ? '/v1' : '',
        app: lrp.replace('six', 'five'),
        protocol: random(6) === 0 ? 'http2' : 'http1',
        instances: some.map((guid, index) => ({ guid: random(30) === 0 ? 'no name' : guid, index })),
      },
      random(20) === 0 ? 9444 : 9443,
    );
    return { ...entry, processGuid: lrp };
  });
}

/** A state's table in order, as it is now. */
function tableOf(state: DesiredState): RouteTable {
  const { pools, routes } = state.table;
  return {
    pools: pools.toSorted((a, b) => a.slot - b.slot),
    routes: new Map([...routes].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** Sees that both serve, refuse and count the same. */
function assertSame(kept: DesiredState, fresh: DesiredState, step: number): void {
  assert.deepEqual(tableOf(kept), tableOf(fresh), `step ${step}`);
  assert.deepEqual(kept.refused, fresh.refused, `step ${step}`);
  assert.deepEqual(kept.servedAsHttp1, fresh.servedAsHttp1, `step ${step}`);
  assert.deepEqual(kept.counts, fresh.counts, `step ${step}`);
}

/** After a step, slots that are in use have servers; some of those that were left still do. */
function drain(occupied: Set<number>, { pools }: RouteTable, random: (below: number) => number): void {
  for (const { slot } of pools) occupied.add(slot);
  for (const slot of occupied) {
    if (random(2) === 0 && !pools.some((pool) => pool.slot === slot)) occupied.delete(slot);
  }
}

/** Some LRPs with other entries than before, perhaps none. */
function randomStep(random: (below: number) => number): Map<string, RouteEntry[]> {
  const touched = new Map<string, RouteEntry[]>();
  for (let count = random(3); count >= 0; count -= 1) {
    const lrp = APPS[random(APPS.length)]!;
    touched.set(lrp, random(4) === 0 ? [] : randomEntries(lrp, random));
  }
  return touched;
}

/** The table that the change makes of another one. */
function changed(table: RouteTable, change: RouteChange): RouteTable {
  const pools = new Map(table.pools.map((pool) => [pool.slot, pool]));
  for (const [slot, pool] of change.pools) {
    if (pool) pools.set(slot, pool);
    else pools.delete(slot);
  }
  const routes = new Map(table.routes);
  for (const [key, slot] of change.routes) {
    if (slot === undefined) routes.delete(key);
    else routes.set(key, slot);
  }
  return {
    pools: [...pools.values()].sort((a, b) => a.slot - b.slot),
    routes: new Map([...routes].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** Sees that what updates lead to is what all entries at once give, after each of many steps in an order that `seed` gives. */
export async function checkUpdates(seed: number): Promise<void> {
  const random = numbers(seed);
  const all = new Map<string, RouteEntry[]>();
  const kept = new DesiredState({ ...OPTIONS, previous: [] });
  /** Slots with servers: those in use, and those that still drain. */
  const occupied = new Set<number>();
  let waited = 0;
  for (let step = 0; step < STEPS; step += 1) {
    const before = tableOf(kept);
    const touched = randomStep(random);
    for (const [lrp, entries] of touched) all.set(lrp, entries);
    const fresh = new DesiredState({ ...OPTIONS, previous: before.pools });
    await fresh.update(all, occupied);
    const { change } = await kept.update(touched, occupied);
    assertSame(kept, fresh, step);
    assert.deepEqual(changed(before, change), tableOf(kept), `step ${step}`);
    drain(occupied, kept.table, random);
    if (kept.refused.some(({ text }) => text.includes('used up'))) waited += 1;
  }
  assert.ok(waited > 5 && waited < STEPS - 5, `the pool was used up after ${waited} steps`);
}

/** Sees that a comparison brings what events did not tell: after each of many steps the state is a fresh one’s. */
export async function checkComparisons(seed: number): Promise<void> {
  const random = numbers(seed);
  const there = new Map<string, RouteEntry[]>();
  const entries = () => [...there.values()].flat();
  const bbs = client(
    Bbs,
    inMemoryTransport((routes) =>
      routes.service(Bbs, {
        routingTable: (request) => routingTableOf(entries(), request),
        routingFingerprints: (request) => routingFingerprintsOf(entries(), request),
      }),
    ),
  );
  const kept = new DesiredState({ ...OPTIONS, previous: [] });
  const fingerprints = new Fingerprints();
  const occupied = new Set<number>();
  const bring = async (names: Iterable<string>) => {
    const processGuids = [...names];
    const told = byProcess(processGuids.length > 0 ? (await bbs.routingTable({ processGuids })).entries : []);
    const processes = new Map(processGuids.map((guid) => [guid, told.get(guid) ?? []]));
    await kept.update(processes, occupied);
    assert.equal(await fingerprints.update(processes), true);
  };
  let missed = 0;
  for (let step = 0; step < STEPS; step += 1) {
    const behind = new Set<string>();
    for (let change = random(4); change > 0; change -= 1) {
      const touched = randomStep(random);
      for (const [lrp, own] of touched) there.set(lrp, own);
      if (random(3) === 0) await bring(touched.keys());
      else for (const lrp of touched.keys()) behind.add(lrp);
    }
    const { pools } = tableOf(kept);
    const names = await fingerprints.differing(bbs, 1 + random(4));
    for (const name of names) assert.ok(behind.has(name), `${name} was told, at step ${step}`);
    missed += names.size;
    await bring(names);
    const fresh = new DesiredState({ ...OPTIONS, previous: pools });
    const whole = new WholeTable((request) => bbs.routingTable(request), 1 + random(4));
    await fresh.update(whole, occupied);
    assertSame(kept, fresh, step);
    assert.deepEqual([...(await fingerprints.differing(bbs))], [], `step ${step}`);
    assert.deepEqual([...(await whole.fingerprints!.differing(bbs))], [], `step ${step}`);
    drain(occupied, kept.table, random);
  }
  assert.ok(missed > STEPS, `only ${missed} LRPs differed`);
}
