import assert from 'node:assert/strict';
import { processesOf, type Target } from './fault-targets.ts';
import { STEADY, type UsedPlatform } from './used-platform.ts';

/** From the kill until everything is as it was. */
export const RECOVERY_MS = 10_000;
/** Requests that a killed process itself may carry: one of each client. */
const CARRIED = 4;
/** Killing these ends requests that are on their way through them; the others carry none. */
const CARRIES: ReadonlySet<Target> = new Set(['router', 'cell-0-proxy', 'app', 'conmon']);

/** How many requests may fail where these are killed. */
export function carriedBy(...targets: readonly Target[]): number {
  return targets.filter((target) => CARRIES.has(target)).length * CARRIED;
}

/** Kills every process of a part; gives their numbers. */
export async function kill(platform: UsedPlatform, target: Target): Promise<number[]> {
  const index = target === 'app' || target === 'conmon' ? platform.victim() : 0;
  const pids = processesOf(platform, target, STEADY, index);
  assert.ok(pids.length > 0, `${target} runs`);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  return pids;
}
