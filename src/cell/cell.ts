import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client, ConnectRouter } from '@connectrpc/connect';
import { type CellRegistry, type EgressRule, Rep as RepService } from '../contracts/gen/diego_pb.js';
import type { Ingress } from '../contracts/gen/loggregator_pb.js';
import { CellSsh } from '../contracts/gen/ssh_pb.js';
import type { DiskReserve } from '../kit/disk-sizes.ts';
import { messageOf } from '../kit/errors.ts';
import { createLimiter, createOwnersLimiter } from '../kit/limiter.ts';
import type { Logger } from '../kit/log.ts';
import { Reconciler } from '../kit/reconcile.ts';
import type { Garden } from './garden/garden.ts';
import { CredentialDirectories } from './identity/credentials.ts';
import type { InstanceAuthority } from './identity/instance-identity.ts';
import { SystemTrust } from './identity/system-trust.ts';
import { ImageStore } from './images/image-store.ts';
import type { RegistrySettings } from './images/registry-access.ts';
import { LogAgent } from './logs/agent.ts';
import type { BlobTransport } from './rep/blob-transport.ts';
import { Capacity, type Resources } from './rep/capacity.ts';
import { type CellProxy, type RepContext, type StageTask, TIMING, type Timing } from './rep/collaborators.ts';
import { giveIdentity, identityBinds } from './rep/container-files.ts';
import { DropletLayers } from './rep/droplets.ts';
import { IDENTITY_ENVIRONMENT, networkEnvironment } from './rep/environment.ts';
import { KeptDroplets } from './rep/kept-droplets.ts';
import { LayerUse } from './rep/layer-use.ts';
import { Rep } from './rep/rep.ts';
import { RegistryReports } from './rep/reports.ts';
import { repService } from './rep/service.ts';
import { TaskResults } from './rep/task-results.ts';
import { sshService } from './ssh/service.ts';
import type { LocalBuildpack } from './staging/buildpack-layers.ts';
import { dockerLifecycle } from './staging/docker-staging.ts';
import { createStager, type Stager } from './staging/staging.ts';

export interface CellOptions {
  cellId: string;
  zone: string;
  /** The cell's address: where its TLS proxy listens and what the registry gives to the router. */
  address: string;
  /** Where control reaches this cell's Rep service. */
  repUrl: string;
  stacks: readonly string[];
  capacity: Resources;
  placementTags: readonly string[];
  garden: Garden;
  proxy: CellProxy;
  /** Its TLS port on `address`. */
  proxyPort: number;
  registry: Client<typeof CellRegistry>;
  ingress: Client<typeof Ingress>;
  /** Issues the certificates of instances; its root becomes what apps trust. */
  identity: InstanceAuthority;
  /** What apps trust besides: the router's root, so that they reach each other by public name. */
  trustedCertificates?: readonly string[];
  blobs: BlobTransport;
  /** Registries that may be where others may not; by default none. */
  registries?: RegistrySettings;
  /** What the manifest says of staging: registry mirrors and proxies, and the way to them. */
  staging?: { environment?: Readonly<Record<string, string>>; egressRules?: readonly EgressRule[] };
  /** What is unpacked before the first push asks for it. */
  buildpacks?: readonly LocalBuildpack[];
  /** Instead of the buildpack lifecycle; for tests. */
  stage?: StageTask;
  /** With `builder` and `launcher`; mounted at /tmp/lifecycle. */
  lifecycleDirectory: string;
  /** For keys: best on a memory file system. */
  runDirectory: string;
  /** Survives restarts: log positions, results of tasks, certificate stores. */
  stateDirectory: string;
  /** What kept droplets leave free on the disk of `stateDirectory`. */
  diskReserve: DiskReserve;
  log: Logger;
  /** Milliseconds of the wall clock. */
  now?: () => number;
  timing?: Partial<Timing>;
  limits?: { creating?: number; staging?: number };
}

export interface Cell {
  /** The services Rep and CellSsh; only control may call them. */
  routes(router: ConnectRouter): void;
  /** Takes over what runs already, then works. */
  start(): Promise<void>;
  /** Certificates of instances: how many, and when the first of them ends (milliseconds). */
  credentials(): { count: number; earliestEnd: number | null };
  /** Issues every instance's certificate anew, in the container and in the proxy. */
  renewCredentials(): Promise<{ renewed: number; failed: number }>;
  /** Another authority issues from now on; apps trust all of its roots and what else is named, those that run too. */
  replaceAuthority(authority: InstanceAuthority, trustedCertificates: readonly string[]): Promise<void>;
  /** Ends the watching; apps go on running and are taken over by the next process. */
  close(): Promise<void>;
}

/** The executor of one cell: rep, instance identities, health checks and the log agent, over Garden and the cell's proxy. */
export function createCell(options: CellOptions): Cell {
  const { log, registry } = options;
  const now = options.now ?? Date.now;
  const garden = new LayerUse(options.garden, join(options.stateDirectory, 'layer-use.json'), now);
  const timing = { ...TIMING, ...options.timing };
  const reports = new RegistryReports(log.child('reports'), timing.retryMs);
  const logs = new LogAgent({
    ingress: options.ingress,
    directory: join(options.stateDirectory, 'log-positions'),
    log: log.child('logs'),
    now,
  });
  const kept = new KeptDroplets({
    directory: join(options.stateDirectory, 'kept-droplets'),
    reserve: options.diskReserve,
    log: log.child('kept-droplets'),
  });
  const context: RepContext = {
    cellId: options.cellId,
    address: options.address,
    garden,
    proxy: options.proxy,
    proxyPort: options.proxyPort,
    registry,
    reports,
    capacity: new Capacity(options.capacity),
    droplets: new DropletLayers(garden, options.blobs, kept),
    images: new ImageStore({
      garden,
      directory: join(options.stateDirectory, 'images'),
      registries: options.registries ?? { allowed: [], insecure: [] },
      log: log.child('images'),
    }),
    authority: options.identity,
    credentials: new CredentialDirectories(join(options.runDirectory, 'credentials')),
    trust: new SystemTrust(garden, join(options.stateDirectory, 'trust'), [
      options.identity.rootCertificate,
      ...(options.trustedCertificates ?? []),
    ]),
    logs,
    lifecycleDirectory: options.lifecycleDirectory,
    timing,
    now,
    log: log.child('rep'),
    creating: createLimiter(options.limits?.creating ?? 4),
  };
  const stager = buildpackLifecycle(options, context, kept);
  const tasks = {
    stage: options.stage ?? lifecycles(options, context, stager),
    results: new TaskResults(join(options.stateDirectory, 'task-results')),
    staging: createOwnersLimiter(options.limits?.staging ?? 4),
  };
  const rep = new Rep(context, tasks, options);
  // At its start the cell is often there before control: what is to be compared then must not wait for the next time.
  const pace = { everyMs: timing.reconcileMs, soonMs: timing.retryMs };
  const comparing = new Reconciler('rep', pace, () => rep.reconcile(), log);
  const heartbeat = async (): Promise<void> => {
    // A call that hangs must not hold up the next: five of them missing mean that the cell is lost.
    const { returned } = await registry.heartbeat(rep.presence(), { timeoutMs: timing.heartbeatMs });
    // It was away for so long that its work was given to others: what runs here twice is stopped now.
    if (returned) comparing.wake();
  };
  const periodic = [
    new Reconciler('heartbeat', timing.heartbeatMs, heartbeat, log),
    comparing,
    new Reconciler('metrics', timing.metricsMs, () => rep.emitMetrics(), log),
  ];
  return {
    routes: (router) => {
      router.service(RepService, repService(rep, options.cellId, registry));
      router.service(
        CellSsh,
        sshService((instanceGuid) => rep.sshTarget(instanceGuid)),
      );
    },
    async start() {
      await kept.open();
      await rm(stagingScratch(options), { recursive: true, force: true }); // of stagings that a kill cut off
      await rep.adopt();
      for (const reconciler of periodic) reconciler.start();
      for (const stack of options.stacks) {
        // Ready before the first app asks for it.
        context.trust.store(stack).catch((error: unknown) => {
          log.warn('the certificate store of a stack is not ready; it is tried again', {
            stack,
            error: messageOf(error),
          });
        });
      }
      void prepareBuildpacks(options, stager, () =>
        reports.deliver('presence', () => registry.heartbeat(rep.presence())),
      );
    },
    credentials: () => rep.credentials(),
    renewCredentials: () => rep.renewCredentials(),
    async replaceAuthority(authority, trustedCertificates) {
      await context.trust.replaceRoots([authority.rootCertificate, ...trustedCertificates]);
      context.authority = authority;
    },
    async close() {
      rep.detach();
      reports.close();
      stager.close();
      await Promise.all(periodic.map((reconciler) => reconciler.stop()));
      await Promise.all([logs.close(), context.trust.settled(), kept.close()]);
    },
  };
}

function lifecycles(options: CellOptions, context: RepContext, stager: Stager): StageTask {
  const docker = dockerLifecycle(context.images, options.log.child('staging'));
  return (request) => (request.task.work.case === 'dockerStaging' ? docker(request) : stager.stage(request));
}

function stagingScratch({ stateDirectory }: CellOptions): string {
  return join(stateDirectory, 'staging');
}

/** Staging in containers that have an identity and trusted roots as those of apps have. */
function buildpackLifecycle(options: CellOptions, context: RepContext, kept: KeptDroplets): Stager {
  return createStager({
    garden: context.garden,
    blobs: options.blobs,
    lifecycleDirectory: options.lifecycleDirectory,
    scratchDirectory: stagingScratch(options),
    kept,
    binds: (task) => identityBinds(context, task.taskGuid, task.stack),
    prepare: async (container, task) => {
      await giveIdentity(context, container, task.owner);
      const network = networkEnvironment({ hostAddress: options.address, address: container.address });
      return { ...network, ...IDENTITY_ENVIRONMENT };
    },
    environment: options.staging?.environment,
    egressRules: options.staging?.egressRules,
    log: options.log.child('staging'),
  });
}

/** In the background, and after control is there, so that the start of the platform waits for none of it. */
async function prepareBuildpacks(options: CellOptions, stager: Stager, connect: () => Promise<unknown>): Promise<void> {
  const { buildpacks = [], log } = options;
  if (buildpacks.length === 0) return;
  try {
    await connect();
    await stager.prepare(buildpacks);
  } catch (error) {
    log.warn('the buildpacks are not unpacked yet; the next push does it', { error: messageOf(error) });
  }
}
