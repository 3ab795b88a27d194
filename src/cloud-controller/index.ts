import type { TakeUpload } from '../contracts/blobs.ts';
import { EnvelopeSender } from '../contracts/envelope-sender.ts';
import { migrate } from '../kit/database.ts';
import type { RequestHandler } from '../kit/http.ts';
import type { Routes } from '../kit/rpc.ts';
import { withCheckedEvents } from './audit-events/check.ts';
import { seedBuildpacks } from './buildpacks/seed.ts';
import { syncStaging } from './builds/sync.ts';
import type { CloudControllerOptions, Context } from './context.ts';
import { advanceDeployments } from './deployments/advance.ts';
import { Nsync } from './diego/nsync.ts';
import { seedDefaultDomain } from './domains/store.ts';
import { internalRoutes } from './internal.ts';
import { Jobs } from './jobs/queue.ts';
import { migrations } from './migrations/index.ts';
import { openApi } from './openapi.ts';
import { advanceOutgoing } from './processes/outgoing.ts';
import { operations, resources } from './resources.ts';
import { RetentionSweep } from './retention/sweep.ts';
import { API_VERSION } from './root/version.ts';
import { seedPublicRoutes } from './security-groups/seed.ts';
import { createServer } from './server.ts';
import { DEFAULT_STACK, seedStacks } from './stacks/store.ts';
import { takeUpload } from './storage/keep.ts';
import { StorageSweep } from './storage/sweep.ts';
import { syncTasks } from './tasks/sync.ts';
import { Links } from './view.ts';

export { DEFAULT_STORAGE } from './context.ts';

export interface CloudController {
  /** api.<domain> */
  handler: RequestHandler;
  /** CloudControllerInternal, for the other rooms. */
  internal: Routes;
  /** Writes what cells upload, within the share of the organization it is for. */
  takeUpload: TakeUpload;
  /** Begins the background work; `handler` answers before that too. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** The room of the v3 API. Brings its schema up to date first. */
export async function createCloudController(options: CloudControllerOptions): Promise<CloudController> {
  await migrate(options.db, 'cc', migrations);
  await seedDefaultDomain(options.db, options.settings.domain);
  const jobs = new Jobs(options.db, options.log);
  const envelopes = new EnvelopeSender(options.ingress, options.log);
  let document: string | undefined;
  const context: Context = {
    ...options,
    db: options.settings.strict ? withCheckedEvents(options.db) : options.db,
    clock: options.clock ?? (() => new Date()),
    links: new Links(options.settings.urls.api),
    jobs,
    contents: {
      space: resources.flatMap(({ contents }) => contents?.space ?? []),
      organization: resources.flatMap(({ contents }) => contents?.organization ?? []),
      user: resources.flatMap(({ contents }) => contents?.user ?? []),
      app: resources.flatMap(({ contents }) => contents?.app ?? []),
      domain: resources.flatMap(({ contents }) => contents?.domain ?? []),
    },
    envelopes,
    changed: (guids) => nsync.wake(guids),
    tasksChanged: () => nsync.wakeTasks(),
    document: () => {
      document ??= JSON.stringify(openApi(operations, API_VERSION));
      return document;
    },
    defaultStack: DEFAULT_STACK,
  };
  const nsync = new Nsync(context, {
    deployments: advanceDeployments,
    restarts: advanceOutgoing,
    staging: syncStaging,
    tasks: syncTasks,
  });
  const sweeps = [new StorageSweep(context), new RetentionSweep(context)];
  for (const [name, handle] of resources.flatMap((one) => Object.entries(one.jobs ?? {})))
    jobs.register(name, (job) => handle(context, job));
  await seedStacks(options.db);
  if (options.settings.publicRoutes) await seedPublicRoutes(options.db, options.settings.publicRoutes);
  const handler = await createServer(context, operations);
  return {
    handler,
    internal: internalRoutes(context),
    takeUpload: (...upload) => takeUpload(context, ...upload),
    start: async () => {
      await seedBuildpacks(context, options.systemBuildpacks ?? []);
      jobs.start();
      nsync.start();
      for (const sweep of sweeps) sweep.start();
    },
    close: async () => {
      await nsync.close();
      for (const sweep of sweeps) await sweep.close();
      await jobs.close();
      await envelopes.close();
    },
  };
}
