import type { ActualLrp } from '../../contracts/gen/diego_pb.js';
import type { Deployment } from './store.ts';

/** How many instances the new process is brought to, and how many both have together meanwhile. */
export interface Target {
  newInstances: number;
  total: number;
}

/** How many instances the web process has once it is deployed. */
export function desiredInstances(deployment: Pick<Deployment, 'web_instances' | 'original_instances'>): number {
  return deployment.web_instances ?? deployment.original_instances;
}

type Canary = Pick<Deployment, 'web_instances' | 'original_instances' | 'canary_steps'>;

/** The steps of a canary deployment, each of which ends in a pause; without any, one instance beside all the old. */
export function canaryPlan(deployment: Canary): Target[] {
  const { canary_steps: steps, original_instances: original } = deployment;
  if (steps === null) return [{ newInstances: 1, total: original + 1 }];
  const instances = Math.min(original, desiredInstances(deployment));
  return steps.map((weight) => {
    const newInstances = Math.max(1, Math.round((instances * weight) / 100));
    // One more than in all, so that a step never takes capacity away before it brings it.
    return { newInstances, total: weight === 100 ? newInstances : instances + 1 };
  });
}

/** Where a deployment goes now. */
export function targetOf(deployment: Canary & Pick<Deployment, 'strategy' | 'promoted' | 'canary_step'>): Target {
  const desired = desiredInstances(deployment);
  if (deployment.strategy !== 'canary' || deployment.promoted) return { newInstances: desired, total: desired };
  return canaryPlan(deployment)[(deployment.canary_step ?? 1) - 1]!;
}

/**
 * The most that the old and the new process come to together in a deployment's course, where one instance of each weighs so
 * much: at every step, at its end, and when it is cancelled and the old one has all its instances again.
 */
export function largestOf(
  deployment: Canary & Pick<Deployment, 'strategy' | 'max_in_flight'>,
  oldWeight: number,
  newWeight: number,
): number {
  const { strategy, original_instances: original, max_in_flight: maxInFlight } = deployment;
  const desired = desiredInstances(deployment);
  const ends = Math.max(original * oldWeight, desired * newWeight);
  if (strategy === 'recreate') return ends;
  const last = { newInstances: desired, total: desired };
  const targets = strategy === 'canary' ? [...canaryPlan(deployment), last] : [last];
  // It begins beside all that there is.
  let old = original;
  let most = Math.max(ends, old * oldWeight + Math.min(maxInFlight, targets[0]!.newInstances) * newWeight);
  let routable = 0;
  for (const { newInstances, total } of targets) {
    for (; ; routable += 1) {
      old = Math.min(old, Math.max(0, total - routable));
      most = Math.max(most, old * oldWeight + Math.min(routable + maxInFlight, newInstances) * newWeight);
      if (routable >= newInstances) break;
    }
  }
  return most;
}

/** Instances of the new process by how they are. */
export interface Counts {
  routable: number;
  starting: number;
  unhealthy: number;
}

export function countInstances(instances: number, lrps: readonly ActualLrp[]): Counts {
  const counts = { routable: 0, starting: 0, unhealthy: 0 };
  for (const { index, state, routable, placementError } of lrps) {
    if (index >= instances) continue;
    if (state === 'RUNNING' && routable !== false) counts.routable += 1;
    else if (state === 'CRASHED' || placementError !== '') counts.unhealthy += 1;
    else counts.starting += 1;
  }
  return counts;
}

/** One step: what both processes are to have next, and whether the target is reached. */
export function nextStep(
  now: { newInstances: number; oldInstances: number; maxInFlight: number },
  counts: Counts,
  target: Target,
): { newInstances: number; oldInstances: number; reached: boolean } {
  const oldInstances = Math.min(now.oldInstances, Math.max(0, target.total - counts.routable));
  const reached = now.newInstances >= target.newInstances && counts.routable >= target.newInstances;
  const mayGrow =
    counts.unhealthy === 0 &&
    counts.starting < now.maxInFlight &&
    // Fewer than that: Diego has not heard of the last step yet.
    counts.routable >= now.newInstances - now.maxInFlight;
  const grown = Math.min(counts.routable + now.maxInFlight, target.newInstances);
  return { newInstances: mayGrow ? Math.max(now.newInstances, grown) : now.newInstances, oldInstances, reached };
}
