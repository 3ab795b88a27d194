import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DesiredState } from '../../../src/router/desired-state.ts';
import { routeEntry } from '../../support/request-path.ts';
import { checkComparisons, checkUpdates, OPTIONS } from '../../support/route-updates.ts';

for (const seed of [1, 2, 3, 4, 5]) {
  test(`what updates lead to is what all entries at once give, after each of many steps (seed ${seed})`, () =>
    checkUpdates(seed));
}

test('a comparison brings what events did not tell: the state is a fresh one’s', () => checkComparisons(1));

test('an update that changes nothing touches nothing, nor does a new name; one of an app touches nothing of others', async () => {
  const entry = (host: string, app: string, ...guids: string[]) =>
    routeEntry({ host, app, instances: guids.map((guid, index) => ({ guid, index })) }, 9443);
  const state = new DesiredState({ ...OPTIONS, previous: [] });
  const entries = (...guids: string[]) => new Map([['one', [entry('a.example.org', 'one', ...guids)]]]);
  await state.update(new Map([...entries('i1'), ['two', [entry('b.example.org', 'two', 'j1')]]]), new Set());
  const same = await state.update(entries('i1'), new Set());
  assert.deepEqual([same.change.pools.size, same.change.routes.size], [0, 0]);
  const [renamed] = entries('i1').get('one')!;
  renamed!.owner!.appName = 'another name';
  const { came, ...named } = await state.update(new Map([['one', [renamed!]]]), new Set());
  assert.deepEqual([named.change.pools.size, named.change.routes.size], [0, 0]);
  assert.equal(came.get('i1')!.owner.appName, 'another name');
  const { change, went } = await state.update(entries('i2'), new Set());
  assert.deepEqual([[...change.pools.keys()], [...change.routes.keys()], went], [[0], [], ['i1']]);
});

test('a route that waited for a slot gets one when there is one, and is no longer refused', async () => {
  const state = new DesiredState({ ...OPTIONS, poolSize: 1, previous: [] });
  const of = (app: string) =>
    routeEntry({ host: `${app}.example.org`, app, instances: [{ guid: app, index: 0 }] }, 9443);
  const first = await state.update(new Map(['one', 'two'].map((app) => [app, [of(app)]])), new Set());
  assert.equal(first.refusalsChanged, true);
  assert.equal(state.refused.length, 1);
  const gone = await state.update(new Map([['one', []]]), new Set([0]));
  assert.equal(gone.change.routes.get('one.example.org/'), undefined);
  assert.equal((await state.update(new Map(), new Set([0]))).change.routes.size, 0, 'it drains');
  const { change, refusalsChanged } = await state.update(new Map(), new Set());
  assert.equal(change.routes.get('two.example.org/'), 0);
  assert.equal(refusalsChanged, true);
  assert.deepEqual(state.refused, []);
});
