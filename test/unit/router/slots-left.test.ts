import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DesiredState } from '../../../src/router/desired-state.ts';
import { byProcess } from '../../../src/router/process-routes.ts';
import { SlotsLeft } from '../../../src/router/slots-left.ts';
import { routeEntry } from '../../support/request-path.ts';

const app = (name: string) =>
  byProcess([
    routeEntry({ app: name, host: `${name}.example.org`, instances: [{ guid: `${name}-1`, index: 0 }] }, 9443),
  ]);

test('SECURITY-TESTS 7: a slot that was left while HAProxy could not be looked at is nobody else’s before it was', async () => {
  const state = new DesiredState({ systemHosts: [], poolSize: 4, http2Apps: false, previous: [] });
  const left = new SlotsLeft();
  const update = async (processes: Parameters<typeof state.update>[0], looked: boolean) => {
    const { change } = await state.update(processes, left.andOccupied(new Set(), looked));
    left.note(change);
  };
  const slotOf = (name: string) => state.table.routes.get(`${name}.example.org/`);
  const alice = app('alice');
  await update(alice, false);
  assert.equal(slotOf('alice'), 0);
  await update(
    [...alice.keys()].map((guid) => [guid, []] as const),
    false,
  );
  await update(app('bob'), false);
  assert.equal(slotOf('bob'), 1, 'a HAProxy that starts may have read alice in slot 0');
  await update(app('carol'), true);
  assert.equal(slotOf('carol'), 0, 'it was looked at, and slot 0 is empty');
});

test('SECURITY-TESTS 7: nor is one of the table that another takes the place of', () => {
  const left = new SlotsLeft();
  left.noteTable({ pools: [{ slot: 3, key: 'alice', servers: [] }], routes: new Map() });
  const has = (looked: boolean) => [2, 3].map((slot) => left.andOccupied(new Set([2]), looked).has(slot));
  assert.deepEqual(has(false), [true, true]);
  assert.deepEqual(has(true), [true, false]);
});
