import { migrate } from '../kit/database.ts';
import type { RequestHandler } from '../kit/http.ts';
import type { Routes } from '../kit/rpc.ts';
import { appHooks, registerAppJobs } from './apps-side.ts';
import { seedBuildpacks, seedStacks } from './buildpacks/seed.ts';
import { DEFAULT_STACK } from './buildpacks/store.ts';
import type { CloudControllerOptions, Context } from './context.ts';
import { Nsync } from './diego/nsync.ts';
import { seedDefaultDomain } from './domains/store.ts';
import { internalRoutes } from './internal.ts';
import { registerJobs } from './jobs/handlers.ts';
import { Jobs } from './jobs/jobs.ts';
import { migrations } from './migrations/index.ts';
import { operations } from './operations.ts';
import { seedPublicRoutes } from './security-groups/seed.ts';
import { createServer } from './server.ts';
import { Links } from './view.ts';

export type { CloudControllerOptions, Settings } from './context.ts';

export interface CloudController {
  /** api.<domain> */
  handler: RequestHandler;
  /** CloudControllerInternal, for the other rooms. */
  internal: Routes;
  /** Begins the background work; `handler` answers before that too. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** The room of the v3 API. Brings its schema up to date first. */
export async function createCloudController(options: CloudControllerOptions): Promise<CloudController> {
  await migrate(options.db, 'cc', migrations);
  await seedDefaultDomain(options.db, options.settings.domain);
  const jobs = new Jobs(options.db, options.log);
  const context: Context = {
    ...options,
    clock: options.clock ?? (() => new Date()),
    links: new Links(options.settings.urls.api),
    jobs,
    hooks: appHooks(() => context),
    wakeDiego: () => nsync.wake(),
    defaultStack: DEFAULT_STACK,
  };
  const nsync = new Nsync(context);
  registerJobs(context);
  registerAppJobs(context);
  await seedStacks(context);
  if (options.settings.publicRoutes) await seedPublicRoutes(options.db, options.settings.publicRoutes);
  const handler = await createServer(context, operations);
  return {
    handler,
    internal: internalRoutes(context),
    start: async () => {
      await seedBuildpacks(context, options.systemBuildpacks ?? []);
      jobs.start();
      nsync.start();
    },
    close: async () => {
      await nsync.close();
      await jobs.close();
    },
  };
}
