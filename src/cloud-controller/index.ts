import { migrate } from '../kit/database.ts';
import type { RequestHandler } from '../kit/http.ts';
import type { CloudControllerOptions, Context } from './context.ts';
import { seedDefaultDomain } from './domains/store.ts';
import type { Hooks } from './hooks.ts';
import { registerJobs } from './jobs/handlers.ts';
import { Jobs } from './jobs/jobs.ts';
import { migrations } from './migrations/index.ts';
import { operations } from './operations.ts';
import { createServer } from './server.ts';
import { Links } from './view.ts';

export type { CloudControllerOptions, Settings } from './context.ts';

export interface CloudController {
  /** api.<domain> */
  handler: RequestHandler;
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
    hooks: noApps,
  };
  registerJobs(context);
  const handler = await createServer(context, operations);
  return {
    handler,
    start: async () => jobs.start(),
    close: () => jobs.close(),
  };
}

/** While the apps side is not part of the room there are no apps. */
const noApps: Hooks = {
  spacesOfApps: async () => new Map(),
  routesChanged: async () => {},
  securityGroupsChanged: async () => {},
  deleteAppsOfSpace: async () => {},
  usage: async () => ({ startedInstances: 0, memoryMb: 0, perAppTasks: 0, logRateBytesPerSecond: 0 }),
};
