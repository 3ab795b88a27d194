import { create } from '@bufbuild/protobuf';
import { type DesiredLrp, type InstanceStats, InstanceStatsSchema } from '../../contracts/gen/diego_pb.js';
import type { Container, ContainerMetrics } from '../garden/garden.ts';

interface Sample {
  at: number;
  metrics: ContainerMetrics;
}

export interface Usage extends ContainerMetrics {
  /** Of one core, between the last two looks. */
  cpuFraction: number;
}

/** Two looks closer than this say little about CPU use. */
const SHORTEST_MS = 500;

/** Turns the ever-growing CPU time of a container into what it uses now. */
export class UsageMeter {
  readonly #container: Container;
  readonly #now: () => number;
  #last: Sample | null = null;
  #cpuFraction = 0;

  constructor(container: Container, now: () => number) {
    this.#container = container;
    this.#now = now;
  }

  /** The first look compares with the container's start, which used nothing. */
  async look(): Promise<Usage> {
    const metrics = await this.#container.metrics();
    const at = this.#now();
    if (this.#last === null) {
      this.#last = { at, metrics };
    } else if (at - this.#last.at >= SHORTEST_MS) {
      const spent = Number(metrics.cpuNanoseconds - this.#last.metrics.cpuNanoseconds);
      this.#cpuFraction = Math.max(0, spent / ((at - this.#last.at) * 1e6));
      this.#last = { at, metrics };
    }
    return { ...metrics, cpuFraction: this.#cpuFraction };
  }
}

export function instanceStats(facts: {
  instanceGuid: string;
  index: number;
  usage: Usage;
  logRate: number;
  uptimeMs: number;
}): InstanceStats {
  return create(InstanceStatsSchema, {
    instanceGuid: facts.instanceGuid,
    index: facts.index,
    cpuNanoseconds: facts.usage.cpuNanoseconds,
    cpuFraction: facts.usage.cpuFraction,
    memoryBytes: BigInt(facts.usage.memoryBytes),
    diskBytes: BigInt(facts.usage.diskBytes),
    logRateBytesPerSecond: BigInt(facts.logRate),
    uptimeSeconds: BigInt(Math.max(0, Math.floor(facts.uptimeMs / 1000))),
  });
}

/** The container metrics under the names Cloud Foundry's clients read. */
export function instanceGauges(
  stats: InstanceStats,
  desired: DesiredLrp,
): Record<string, { unit: string; value: number }> {
  return {
    cpu: { unit: 'percentage', value: stats.cpuFraction * 100 },
    memory: { unit: 'bytes', value: Number(stats.memoryBytes) },
    disk: { unit: 'bytes', value: Number(stats.diskBytes) },
    memory_quota: { unit: 'bytes', value: desired.memoryMb * 1024 * 1024 },
    disk_quota: { unit: 'bytes', value: desired.diskMb * 1024 * 1024 },
    log_rate: { unit: 'B/s', value: Number(stats.logRateBytesPerSecond) },
    log_rate_limit: { unit: 'B/s', value: desired.logRateLimitBytesPerSecond },
    container_age: { unit: 'nanoseconds', value: Number(stats.uptimeSeconds) * 1e9 },
  };
}
