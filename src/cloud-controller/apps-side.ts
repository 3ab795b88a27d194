import { clearCacheJob, deleteApp, deleteAppJob, deleteDropletJob, deletePackageJob } from './apps/delete.ts';
import { appEnvironmentOperations } from './apps/environment.ts';
import { appOperations } from './apps/operations.ts';
import { revisionOperations } from './apps/revisions.ts';
import { appRouteOperations } from './apps/routes.ts';
import { sidecarOperations } from './apps/sidecars.ts';
import { buildpackOperations } from './buildpacks/operations.ts';
import { deleteBuildpackJob } from './buildpacks/seed.ts';
import { stackOperations } from './buildpacks/stacks.ts';
import { buildOperations } from './builds/operations.ts';
import type { Context } from './context.ts';
import { deploymentOperations } from './deployments/operations.ts';
import { dropletOperations } from './droplets/operations.ts';
import type { Hooks } from './hooks.ts';
import { applyManifestJob } from './manifests/apply.ts';
import { manifestOperations } from './manifests/operations.ts';
import type { Operation } from './operation.ts';
import { packageOperations } from './packages/operations.ts';
import { processOperations } from './processes/operations.ts';
import { usage } from './processes/quota.ts';
import { taskOperations } from './tasks/operations.ts';

/** Every operation on apps and what belongs to them. */
export const appsSideOperations: readonly Operation[] = [
  ...appOperations,
  ...appEnvironmentOperations,
  ...appRouteOperations,
  ...revisionOperations,
  ...sidecarOperations,
  ...processOperations,
  ...packageOperations,
  ...buildOperations,
  ...dropletOperations,
  ...deploymentOperations,
  ...taskOperations,
  ...buildpackOperations,
  ...stackOperations,
  ...manifestOperations,
];

/** What the organizations' side asks of apps. */
export function appHooks(context: () => Context): Hooks {
  return {
    spacesOfApps: async (db, appGuids) => {
      if (appGuids.length === 0) return new Map();
      const rows = await db.selectFrom('apps').select(['guid', 'space_guid']).where('guid', 'in', appGuids).execute();
      return new Map(rows.map((row) => [row.guid, row.space_guid]));
    },
    routesChanged: async () => context().wakeDiego(),
    securityGroupsChanged: async () => context().wakeDiego(),
    deleteAppsOfSpace: async (spaceGuid, actor) => {
      const apps = await context().db.selectFrom('apps').select('guid').where('space_guid', '=', spaceGuid).execute();
      for (const { guid } of apps) await deleteApp(context(), guid, actor);
    },
    usage,
  };
}

/** The handlers of this side's jobs. */
export function registerAppJobs(context: Context): void {
  const { jobs } = context;
  jobs.register('app.delete', (job) => deleteAppJob(context, job));
  jobs.register('package.delete', (job) => deletePackageJob(context, job));
  jobs.register('droplet.delete', (job) => deleteDropletJob(context, job));
  jobs.register('buildpack.delete', (job) => deleteBuildpackJob(context, job));
  jobs.register('buildpack_cache.delete', (job) => clearCacheJob(context, job));
  jobs.register('space.apply_manifest', (job) => applyManifestJob(context, job));
  // The bytes are kept when the upload is answered; clients still follow a job.
  jobs.register('buildpack.upload', async () => undefined);
  jobs.register('droplet.upload', async () => undefined);
}
