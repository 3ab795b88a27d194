import { setTimeout as delay } from 'node:timers/promises';
import type { Probe } from './probe.ts';

/** Most apps listen within a moment: those are noticed fast, the slow ones are asked twice a second. */
const EAGER_INTERVAL_MS = 50;
const EAGER_PERIOD_MS = 2_000;
const PATIENT_INTERVAL_MS = 500;

/**
 * Asks until the instance is well (null) or `timeoutMs` are over: then what the last probe said.
 * Rejects when `signal` aborts.
 */
export async function untilHealthy(probe: Probe, timeoutMs: number, signal: AbortSignal): Promise<string | null> {
  const started = performance.now();
  for (;;) {
    const trouble = await probe(signal);
    signal.throwIfAborted();
    if (trouble === null) return null;
    const elapsed = performance.now() - started;
    if (elapsed >= timeoutMs) return trouble;
    const pause = elapsed < EAGER_PERIOD_MS ? EAGER_INTERVAL_MS : PATIENT_INTERVAL_MS;
    await delay(Math.min(pause, timeoutMs - elapsed + 1), undefined, { signal });
  }
}

/** Asks a running instance every `intervalMs`; gives what the first failing probe said. Rejects when `signal` aborts. */
export async function untilUnhealthy(probe: Probe, intervalMs: number, signal: AbortSignal): Promise<string> {
  for (;;) {
    await delay(intervalMs, undefined, { signal });
    const trouble = await probe(signal);
    signal.throwIfAborted();
    if (trouble !== null) return trouble;
  }
}
