import type { ActualLrp, InstanceStats } from '../../contracts/gen/diego_pb.js';

/** The process whose instances are reported. */
export interface StatsProcess {
  type: string;
  instances: number;
  memoryMb: number;
  diskMb: number;
  logRateLimit: number;
  fileDescriptors: number;
  isStarted: boolean;
  isolationSegment: string | null;
}

/** One instance in `GET /v3/processes/:guid/stats`. */
export type InstanceView = Readonly<Record<string, unknown>>;

export type InstanceState = 'RUNNING' | 'STARTING' | 'CRASHED' | 'DOWN' | 'STOPPING';

/** What the API calls an actual LRP's state; an instance that waits for a place is DOWN only while an error says why. */
export function instanceState(lrp: ActualLrp): InstanceState {
  switch (lrp.state) {
    case 'RUNNING':
      return 'RUNNING';
    case 'CRASHED':
      return 'CRASHED';
    case 'UNCLAIMED':
      return lrp.placementError === '' ? 'STARTING' : 'DOWN';
    default:
      return 'STARTING';
  }
}

/** An entry for each index that should run, whether anything is known of it or not. `nowMs` is the clock. */
export function presentStats(
  process: StatsProcess,
  lrps: readonly ActualLrp[],
  stats: readonly InstanceStats[],
  nowMs: number,
): InstanceView[] {
  return newestByIndex(process.instances, lrps).map((lrp, index) => {
    if (!lrp) return down(process, index, 0, null);
    const state = process.isStarted ? instanceState(lrp) : 'STOPPING';
    const uptime = Math.max(0, Math.floor(nowMs / 1000 - Number(lrp.sinceNs / 1_000_000_000n)));
    if (state === 'DOWN') return down(process, index, uptime, lrp.placementError);
    const usage = stats.find((item) => item.instanceGuid === lrp.instanceGuid && item.instanceGuid !== '');
    return present(process, lrp, index, state, uptime, usage, nowMs);
  });
}

/** `GET /v3/processes/:guid/process_instances`: state and for how long. */
export function presentInstances(
  process: StatsProcess,
  lrps: readonly ActualLrp[],
  nowMs: number,
): { index: number; state: string; since: number }[] {
  return newestByIndex(process.instances, lrps).map((lrp, index) => {
    if (!lrp) return { index, state: 'DOWN', since: 0 };
    const since = Math.max(0, Math.floor(nowMs / 1000 - Number(lrp.sinceNs / 1_000_000_000n)));
    return { index, state: process.isStarted ? instanceState(lrp) : 'STOPPING', since };
  });
}

function newestByIndex(instances: number, lrps: readonly ActualLrp[]): (ActualLrp | null)[] {
  return Array.from({ length: instances }, (_, index) =>
    lrps
      .filter((lrp) => lrp.index === index)
      .reduce<ActualLrp | null>((newest, lrp) => (newest && newest.sinceNs > lrp.sinceNs ? newest : lrp), null),
  );
}

function down(process: StatsProcess, index: number, uptime: number, details: string | null): InstanceView {
  return {
    type: process.type,
    index,
    state: 'DOWN',
    routable: null,
    uptime,
    isolation_segment: process.isolationSegment,
    details,
  };
}

function present(
  process: StatsProcess,
  lrp: ActualLrp,
  index: number,
  state: InstanceState,
  uptime: number,
  stats: InstanceStats | undefined,
  nowMs: number,
): InstanceView {
  return {
    type: process.type,
    index,
    instance_guid: lrp.instanceGuid,
    state,
    routable: state === 'RUNNING' && lrp.routable !== false,
    host: lrp.hostAddress,
    instance_internal_ip: lrp.instanceAddress,
    uptime,
    mem_quota: process.memoryMb * 1024 ** 2,
    disk_quota: process.diskMb * 1024 ** 2,
    log_rate_limit: process.logRateLimit,
    fds_quota: process.fileDescriptors,
    isolation_segment: process.isolationSegment,
    details: lrp.placementError || (state === 'CRASHED' ? lrp.crashReason || null : null),
    instance_ports: lrp.ports.map((port) => ({
      external: null,
      internal: port.containerPort,
      external_tls_proxy_port: port.hostTlsProxyPort || null,
      internal_tls_proxy_port: null,
    })),
    usage: {
      time: new Date(nowMs).toISOString(),
      cpu: stats?.cpuFraction ?? 0,
      cpu_entitlement: null,
      mem: Number(stats?.memoryBytes ?? 0n),
      disk: Number(stats?.diskBytes ?? 0n),
      log_rate: Number(stats?.logRateBytesPerSecond ?? 0n),
    },
  };
}
