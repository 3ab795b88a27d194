import type { DesiredLrp } from '../../contracts/gen/diego_pb.js';
import { onAbort } from '../../kit/abort.ts';
import { untilHealthy, untilUnhealthy } from '../health/monitor.ts';
import { createProbe, createReadinessProbe, type Probe } from '../health/probe.ts';
import { watchReadiness } from '../health/readiness.ts';
import { duration, type Ending } from './endings.ts';

/** Writes a line to the app's log: what the cell does about it, or what a check of its health said. */
type Say = (source: 'CELL' | 'HEALTH', text: string, stderr?: boolean) => void;

/** How well an instance is, by its health checks, and what its developer hears of it. */
export class InstanceHealth {
  readonly #checks: Pick<DesiredLrp, 'healthCheck' | 'readinessHealthCheck'>;
  readonly #probe: Probe | null;
  readonly #readiness: Probe | null;
  readonly #say: Say;

  constructor(desired: DesiredLrp, address: string, port: number, say: Say) {
    this.#checks = desired;
    this.#probe = createProbe(desired.healthCheck, address, port);
    this.#readiness = createReadinessProbe(desired.readinessHealthCheck, address, port);
    this.#say = say;
  }

  /** Null once it is well for the first time; how it ends where that takes too long. Of one that was `adopted` nothing is said. */
  async untilWell(signal: AbortSignal, adopted: boolean): Promise<Ending | null> {
    if (!this.#probe) return null;
    if (!adopted) this.#say('CELL', 'Starting health monitoring of container');
    const began = performance.now();
    const { timeoutSeconds = 0 } = this.#checks.healthCheck ?? {};
    const trouble = await untilHealthy(this.#probe, (timeoutSeconds || 60) * 1000, signal);
    if (trouble !== null) {
      const waited = duration(performance.now() - began);
      this.#say('HEALTH', trouble, true);
      this.#say('CELL', `Failed after ${waited}: startup health check never passed.`, true);
      return { kind: 'crashed', reason: `Instance never healthy after ${waited}: ${trouble}` };
    }
    if (!adopted) this.#say('CELL', 'Container became healthy');
    return null;
  }

  /** How it ends when it is no longer well; never, where nothing is checked. Rejects when `signal` aborts. */
  async untilUnwell(signal: AbortSignal): Promise<Ending> {
    if (!this.#probe) return never(signal);
    const { intervalSeconds = 0 } = this.#checks.healthCheck ?? {};
    const trouble = await untilUnhealthy(this.#probe, (intervalSeconds || 30) * 1000, signal);
    this.#say('HEALTH', trouble, true);
    this.#say('CELL', 'Container became unhealthy', true);
    return { kind: 'crashed', reason: `Instance became unhealthy: Liveness check unsuccessful: ${trouble}` };
  }

  /** Whether it is ready for requests now. */
  async isReady(signal: AbortSignal): Promise<boolean> {
    const trouble = this.#readiness ? await this.#readiness(signal) : null;
    if (trouble !== null) this.#sayReadiness(trouble);
    return trouble === null;
  }

  /** Tells each change of its readiness, until `signal` aborts. */
  async watchReadiness(ready: boolean, signal: AbortSignal, changed: (ready: boolean) => Promise<void>): Promise<void> {
    if (!this.#readiness) return;
    const { intervalSeconds = 0 } = this.#checks.readinessHealthCheck ?? {};
    await watchReadiness({
      probe: this.#readiness,
      ready,
      intervalMs: (intervalSeconds || 30) * 1000,
      signal,
      changed: (now, trouble) => {
        this.#sayReadiness(trouble);
        return changed(now);
      },
    });
  }

  /** `trouble`: why it is not ready; null where it is. */
  #sayReadiness(trouble: string | null): void {
    if (trouble === null) {
      this.#say('CELL', 'Container passed the readiness health check; it gets requests');
      return;
    }
    this.#say('HEALTH', trouble, true);
    this.#say('CELL', 'Container failed the readiness health check; it gets no requests', true);
  }
}

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => onAbort(signal, () => reject(signal.reason)));
}
