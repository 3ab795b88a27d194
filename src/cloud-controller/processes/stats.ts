import { type Static, type TSchema, Type } from 'typebox';
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

const INSTANCE_STATES = ['RUNNING', 'STARTING', 'CRASHED', 'DOWN', 'STOPPING'] as const;
export type InstanceState = (typeof INSTANCE_STATES)[number];

const Or = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
/** One instance in `GET /v3/processes/:guid/stats`; the optional fields are there where it runs or ran. */
export const InstanceView = Type.Object({
  type: Type.String(),
  index: Type.Integer(),
  state: Type.Enum(INSTANCE_STATES),
  routable: Or(Type.Boolean()),
  uptime: Type.Integer(),
  isolation_segment: Or(Type.String()),
  details: Or(Type.String()),
  instance_guid: Type.Optional(Type.String()),
  host: Type.Optional(Type.String()),
  instance_internal_ip: Type.Optional(Type.String()),
  mem_quota: Type.Optional(Type.Integer()),
  disk_quota: Type.Optional(Type.Integer()),
  log_rate_limit: Type.Optional(Type.Integer()),
  fds_quota: Type.Optional(Type.Integer()),
  instance_ports: Type.Optional(
    Type.Array(
      Type.Object({
        external: Type.Null(),
        internal: Type.Integer(),
        external_tls_proxy_port: Or(Type.Integer()),
        internal_tls_proxy_port: Type.Null(),
      }),
    ),
  ),
  usage: Type.Optional(
    Type.Object({
      time: Type.String(),
      cpu: Type.Number(),
      cpu_entitlement: Type.Null(),
      mem: Type.Integer(),
      disk: Type.Integer(),
      log_rate: Type.Integer(),
    }),
  ),
});
export type InstanceView = Static<typeof InstanceView>;

/** What the API calls an actual LRP's state; an instance that waits for a place is DOWN only while an error says why. */
function instanceState(lrp: ActualLrp): InstanceState {
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
    if (!lrp) return { ...head(process, index, 'DOWN', null), uptime: 0, isolation_segment: null, details: null };
    const state = process.isStarted ? instanceState(lrp) : 'STOPPING';
    const uptime = secondsSince(lrp, nowMs);
    if (state === 'DOWN') {
      const where = { isolation_segment: process.isolationSegment, details: lrp.placementError };
      return { ...head(process, index, state, false), uptime, ...where };
    }
    const usage = stats.find((item) => item.instanceGuid === lrp.instanceGuid && item.instanceGuid !== '');
    return present(process, lrp, index, state, uptime, usage, nowMs);
  });
}

/** An instance's state and for how many seconds; null where it is not to run, and where nothing is known of it. */
export const ShortInstance = Type.Object({
  index: Type.Integer(),
  state: Type.Enum(INSTANCE_STATES),
  since: Or(Type.Integer()),
});
export type ShortInstance = Static<typeof ShortInstance>;

/** `GET /v3/processes/:guid/process_instances`: of each index that should run, and of as many as still do after it was scaled down. */
export function presentInstances(process: StatsProcess, lrps: readonly ActualLrp[], nowMs: number): ShortInstance[] {
  const known = new Set(lrps.map((lrp) => lrp.index)).size;
  return newestByIndex(Math.max(process.instances, known), lrps).map((lrp, index) => {
    if (!lrp) return { index, state: 'DOWN', since: null };
    if (!process.isStarted) return { index, state: 'STOPPING', since: null };
    return { index, state: instanceState(lrp), since: secondsSince(lrp, nowMs) };
  });
}

function secondsSince(lrp: ActualLrp, nowMs: number): number {
  return Math.max(0, Math.floor(nowMs / 1000 - Number(lrp.sinceNs / 1_000_000_000n)));
}

function newestByIndex(instances: number, lrps: readonly ActualLrp[]): (ActualLrp | null)[] {
  const newest = new Map<number, ActualLrp>();
  for (const lrp of lrps) {
    const known = newest.get(lrp.index);
    if (!known || known.sinceNs <= lrp.sinceNs) newest.set(lrp.index, lrp);
  }
  return Array.from({ length: instances }, (_, index) => newest.get(index) ?? null);
}

function head({ type }: StatsProcess, index: number, state: InstanceState, routable: boolean | null) {
  return { type, index, state, routable };
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
    details: lrp.placementError || null, // why one crashed is told by its event and its log
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
