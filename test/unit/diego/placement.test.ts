import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AuctionCell, type AuctionItem, place } from '../../../src/diego/auction/placement.ts';

const cell = (cellId: string, more: Partial<AuctionCell> = {}): AuctionCell => ({
  cellId,
  zone: 'z1',
  stacks: ['debian12'],
  placementTags: [],
  totalMemoryMb: 1000,
  totalDiskMb: 10_000,
  totalContainers: 100,
  memoryMb: 1000,
  diskMb: 10_000,
  containers: 100,
  instances: new Map(),
  organizations: new Map(),
  ...more,
});
const instance = (processGuid: string, index: number, more: Partial<AuctionItem> = {}): AuctionItem => ({
  processGuid,
  organizationGuid: '',
  index,
  stack: 'debian12',
  placementTags: [],
  memoryMb: 100,
  diskMb: 100,
  ...more,
});
const where = (cells: AuctionCell[], items: AuctionItem[]): string[] =>
  place(cells, items).map((placement) => ('error' in placement ? placement.error : cells[placement.cell]!.cellId));

test('DGO-04: instances of a process spread over zones first, then over cells', () => {
  const cells = [cell('a1'), cell('a2'), cell('b1', { zone: 'z2' })];
  const placed = where(
    cells,
    [0, 1, 2, 3].map((index) => instance('web', index)),
  );
  assert.deepEqual(placed, ['a1', 'b1', 'a2', 'b1']);
});

test('instances that run already count for the spread', () => {
  const cells = [cell('a1', { instances: new Map([['web', 1]]) }), cell('a2', { memoryMb: 300 })];
  assert.deepEqual(where(cells, [instance('web', 1)]), ['a2']);
});

test('of equals the least loaded cell takes it, and the first by name where all are alike', () => {
  assert.deepEqual(where([cell('b'), cell('a')], [instance('web', 0)]), ['a']);
  assert.deepEqual(where([cell('a', { memoryMb: 500 }), cell('b')], [instance('web', 0)]), ['b']);
});

test('an isolation segment takes its own work and no other', () => {
  const cells = [cell('shared'), cell('segment', { placementTags: ['secure'] })];
  assert.deepEqual(where(cells, [instance('web', 0, { placementTags: ['secure'] })]), ['segment']);
  assert.deepEqual(where([cells[1]!], [instance('web', 0)]), ['found no compatible cell for required stack debian12']);
  assert.deepEqual(where([cells[0]!], [instance('web', 0, { placementTags: ['secure'] })]), [
    'found no compatible cell with placement tags "secure"',
  ]);
});

test('what does not fit says which resource is short', () => {
  const large = instance('web', 0, { memoryMb: 2000 });
  assert.deepEqual(where([cell('a')], [large]), ['insufficient resources: memory']);
  assert.deepEqual(where([cell('a', { diskMb: 50 })], [large]), ['insufficient resources: disk, memory']);
  assert.deepEqual(where([cell('a', { containers: 0 })], [instance('web', 0)]), ['insufficient resources: containers']);
  assert.deepEqual(where([], [large]), ['unable to communicate to compatible cells']);
});

test('when room is short every app gets its first instance, then tasks run, before any app is scaled', () => {
  const items = [instance('one', 0), instance('one', 1), instance('two', 0), { ...instance('', 0), processGuid: null }];
  const placed = place([cell('a', { memoryMb: 300 })], items);
  const refused = placed.filter((placement) => 'error' in placement).map(({ item }) => item);
  assert.deepEqual(refused, [items[1]]);
});

test('8,200 instances of 820 apps on 100 cells in 4 zones differ by at most one a cell', () => {
  const cells = Array.from({ length: 100 }, (_, n) =>
    cell(`cell-${String(n).padStart(3, '0')}`, { zone: `z${n % 4}`, totalMemoryMb: 65_536, memoryMb: 65_536 }),
  );
  const items = Array.from({ length: 8_200 }, (_, n) => instance(`app-${Math.floor(n / 10)}`, n % 10));
  const counts = new Map<number, number>();
  for (const placement of place(cells, items)) {
    assert.ok(!('error' in placement));
    counts.set(placement.cell, (counts.get(placement.cell) ?? 0) + 1);
  }
  assert.equal(counts.size, 100);
  assert.ok(Math.max(...counts.values()) - Math.min(...counts.values()) <= 1);
});

test('SECURITY 32: an organization that asks for all containers of a cell leaves places for others', () => {
  const items = (organizationGuid: string, count: number): AuctionItem[] =>
    Array.from({ length: count }, (_, n) =>
      instance(`${organizationGuid}-${n}`, 0, { organizationGuid, memoryMb: 1, diskMb: 1 }),
    );
  const cells = [cell('a'), cell('b', { containers: 20, organizations: new Map([['greedy', 80]]) })];
  const placed = where(cells, [...items('greedy', 500), ...items('neighbour', 1)]);
  assert.equal(placed.filter((place) => place === 'a').length, 90 + 1);
  assert.equal(placed.filter((place) => place === 'b').length, 10);
  assert.equal(placed[1], 'a', 'its turn is the second');
  assert.equal(placed.at(-1), "insufficient resources: the organization's share of containers");
  // Several of them leave places as well, and a full cell is full for everybody.
  const three = where([cell('a')], [...items('one', 500), ...items('two', 500), ...items('three', 500)]);
  const taken = three.filter((place) => place === 'a').length;
  assert.ok(taken >= 90 && taken < 100, String(taken));
  assert.deepEqual(where([cell('a', { containers: 0 })], items('one', 1)), ['insufficient resources: containers']);
});

test('organizations take turns, and first instances of all come first', () => {
  const of = (organizationGuid: string, name: string, index: number) => instance(name, index, { organizationGuid });
  const items = [
    of('a', 'a1', 0),
    of('a', 'a1', 1),
    of('a', 'a2', 0),
    of('a', 'a3', 0),
    of('b', 'b1', 1),
    of('c', 'c1', 0),
  ];
  const order = place([cell('x')], items).map(({ item }) => `${item.processGuid}/${item.index}`);
  assert.deepEqual(order, ['a1/0', 'c1/0', 'a2/0', 'a3/0', 'a1/1', 'b1/1']);
});
