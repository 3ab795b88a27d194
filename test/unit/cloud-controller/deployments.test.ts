import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { canaryPlan, countInstances, nextStep, targetOf } from '../../../src/cloud-controller/deployments/plan.ts';
import { indicesToKeep } from '../../../src/cloud-controller/processes/outgoing.ts';
import { ActualLrpSchema } from '../../../src/contracts/gen/diego_pb.js';

const canary = { strategy: 'canary' as const, promoted: false, canary_step: 1, web_instances: null };

test('a canary without steps is one instance beside all the old ones; then the rest follows', () => {
  const deployment = { ...canary, original_instances: 4, canary_steps: null };
  assert.deepEqual(targetOf(deployment), { newInstances: 1, total: 5 });
  assert.deepEqual(targetOf({ ...deployment, promoted: true }), { newInstances: 4, total: 4 });
});

test('canary steps are shares of the instances, at least one, and never less capacity than before', () => {
  const plan = canaryPlan({ original_instances: 10, web_instances: null, canary_steps: [1, 25, 100] });
  assert.deepEqual(plan, [
    { newInstances: 1, total: 11 },
    { newInstances: 3, total: 11 },
    { newInstances: 10, total: 10 },
  ]);
});

/** Plays a deployment whose new instances become ready at once; gives every step. */
function play(instances: number, maxInFlight: number): [number, number][] {
  let state = { newInstances: Math.min(maxInFlight, instances), oldInstances: instances, maxInFlight };
  const steps: [number, number][] = [];
  for (let n = 0; n < 20; n++) {
    const counts = { routable: state.newInstances, starting: 0, unhealthy: 0 };
    const step = nextStep(state, counts, { newInstances: instances, total: instances });
    state = { ...state, ...step };
    steps.push([step.newInstances, step.oldInstances]);
    if (step.reached) break;
  }
  return steps;
}

test('a rolling deployment replaces max_in_flight instances at a time', () => {
  assert.deepEqual(play(3, 1), [
    [2, 2],
    [3, 1],
    [3, 0],
  ]);
  assert.deepEqual(play(4, 2), [
    [4, 2],
    [4, 0],
  ]);
});

test('a deployment grows no further while an instance is unwell, and takes no old one for it', () => {
  const now = { newInstances: 2, oldInstances: 3, maxInFlight: 1 };
  const step = nextStep(now, { routable: 1, starting: 0, unhealthy: 1 }, { newInstances: 3, total: 3 });
  assert.deepEqual(step, { newInstances: 2, oldInstances: 2, reached: false });
});

test('instances that run and are not ready count as starting; crashed and unplaceable ones as unwell', () => {
  const lrp = (index: number, state: string, more: { routable?: boolean; placementError?: string } = {}) =>
    create(ActualLrpSchema, { index, state, ...more });
  const counts = countInstances(5, [
    lrp(0, 'RUNNING'),
    lrp(1, 'RUNNING', { routable: false }),
    lrp(2, 'CRASHED'),
    lrp(3, 'UNCLAIMED', { placementError: 'no room' }),
    lrp(4, 'CLAIMED'),
    lrp(5, 'RUNNING'),
  ]);
  assert.deepEqual(counts, { routable: 1, starting: 2, unhealthy: 2 });
});

test('an old version keeps as many instances as are needed, and those that serve', () => {
  const serving = (...indices: number[]) => indices.map((index) => ({ index }));
  assert.equal(indicesToKeep(serving(0, 1, 2), 3), 3);
  assert.equal(indicesToKeep(serving(0, 1, 2), 1), 1);
  assert.equal(indicesToKeep(serving(2), 1), 3, 'only the third serves');
  assert.equal(indicesToKeep(serving(0, 1), 0), 0);
  assert.equal(indicesToKeep(serving(), 2), 0, 'nothing serves: nothing is kept');
});
