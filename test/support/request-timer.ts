import { Agent } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import type { TestPlatform } from './platform.ts';

/**
 * How long one client's requests to an app take, in milliseconds, on a kept connection, one after the other with a short pause; and what
 * happened to those that were not answered with 200.
 */
export async function timeRequests(
  platform: TestPlatform,
  app: string,
  forMs: number,
): Promise<{ times: number[]; failures: string[] }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const times: number[] = [];
  const failures: string[] = [];
  const end = performance.now() + forMs;
  while (performance.now() < end) {
    const began = performance.now();
    const failure = await platform.request(app, { agent, timeoutMs: 10_000 }).then(
      ({ status }) => (status === 200 ? null : `status ${status}`),
      (error: unknown) => String(error),
    );
    if (failure === null) times.push(performance.now() - began);
    else failures.push(failure);
    await pause(5);
  }
  agent.destroy();
  return { times, failures };
}

/** The value that `fraction` of all are at or below. */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
}
