import { setTimeout as delay } from 'node:timers/promises';
import type { Probe } from './probe.ts';

/** While it is not ready it is asked this often, whatever the interval. */
const LONGEST_UNREADY_MS = 1_000;

/**
 * Asks a running instance whether it is ready for requests and tells every change, beginning with the state given. An
 * instance is ready again after one good answer, and no longer after one bad one. Rejects when `signal` aborts.
 */
export async function watchReadiness(options: {
  probe: Probe;
  ready: boolean;
  intervalMs: number;
  signal: AbortSignal;
  /** `trouble`: what the probe said, where it is not ready. Awaited, so that changes are told in order. */
  changed: (ready: boolean, trouble: string | null) => Promise<void>;
}): Promise<never> {
  const { probe, intervalMs, signal } = options;
  let { ready } = options;
  for (;;) {
    await delay(ready ? intervalMs : Math.min(intervalMs, LONGEST_UNREADY_MS), undefined, { signal });
    const trouble = await probe(signal);
    signal.throwIfAborted();
    if ((trouble === null) === ready) continue;
    ready = trouble === null;
    await options.changed(ready, trouble);
  }
}
