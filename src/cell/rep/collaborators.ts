import type { Client } from '@connectrpc/connect';
import type { CellRegistry, Task } from '../../contracts/gen/diego_pb.js';
import type { Logger } from '../../kit/log.ts';
import type { CredentialDirectories } from '../identity/credentials.ts';
import type { InstanceAuthority } from '../identity/instance-identity.ts';
import type { SystemTrust } from '../identity/system-trust.ts';
import type { ImageStore } from '../images/image-store.ts';
import type { LogAgent } from '../logs/agent.ts';
import type { Capacity } from './capacity.ts';
import type { DropletLayers } from './droplets.ts';
import type { LayerUse } from './layer-use.ts';
import type { RegistryReports } from './reports.ts';

/** The cell's TLS proxy as the rep uses it. All calls may be repeated. */
export interface CellProxy {
  register(instance: {
    instanceGuid: string;
    certificate: string;
    key: string;
    address: string;
    port: number;
  }): Promise<void>;
  rotate(instanceGuid: string, certificate: string, key: string): Promise<void>;
  unregister(instanceGuid: string): Promise<void>;
}

export interface StageResult {
  failed: boolean;
  /** "<Code>: <message>" where it failed. */
  failureReason: string;
  /** JSON of StagingResult where it did not. */
  result: string;
}

/** Runs the buildpack lifecycle for a staging task in a container named after the task. Rejects when `signal` aborts. */
export type StageTask = (options: {
  task: Task;
  signal: AbortSignal;
  log: (text: string, stderr?: boolean) => void;
}) => Promise<StageResult>;

/** How long things may take; tests shorten them. Milliseconds. */
export interface Timing {
  /** Between taking an instance out of the routes and asking it to end. */
  drainMs: number;
  /** Between SIGTERM and SIGKILL. */
  graceMs: number;
  heartbeatMs: number;
  reconcileMs: number;
  metricsMs: number;
  /** First pause after a failed call of the registry. */
  retryMs: number;
}

export const TIMING: Timing = {
  drainMs: 300,
  graceMs: 10_000,
  heartbeatMs: 3_000,
  reconcileMs: 30_000,
  metricsMs: 15_000,
  retryMs: 250,
};

/** What the rep's parts share. */
export interface RepContext {
  cellId: string;
  /** The cell's own address, where the proxy listens. */
  address: string;
  garden: LayerUse;
  proxy: CellProxy;
  /** Where the router reaches the proxy on the cell's address. */
  proxyPort: number;
  registry: Client<typeof CellRegistry>;
  reports: RegistryReports;
  capacity: Capacity;
  droplets: DropletLayers;
  images: ImageStore;
  authority: InstanceAuthority;
  credentials: CredentialDirectories;
  trust: SystemTrust;
  logs: LogAgent;
  /** Mounted at /tmp/lifecycle. */
  lifecycleDirectory: string;
  timing: Timing;
  now: () => number;
  log: Logger;
  /** At most a few containers are made at a time: more only get in each other's way. */
  creating: <T>(body: () => Promise<T>) => Promise<T>;
}
