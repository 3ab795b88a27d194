import { sidecarsOfType } from '../apps/sidecars.ts';
import { type App, findApp, identityOf } from '../apps/store.ts';
import { openVariables } from '../apps/variables.ts';
import type { Context } from '../context.ts';
import { findDroplet } from '../droplets/store.ts';
import { FILE_DESCRIPTORS } from '../processes/instances.ts';
import type { Process } from '../processes/store.ts';
import { runningEnvironment } from './environment.ts';
import { egressRules, environmentGroup } from './groups.ts';
import { placementTags } from './placement.ts';
import { type ProcessRecipe, processGuidOf, versionOf } from './recipe.ts';
import { routesByProcess, urisOfApp } from './routes.ts';
import type { WantedLrp } from './sync.ts';

/** A droplet's URL expires (SECURITY 29), yet an instance may be moved at any time: it is signed anew each week. */
const RENEW_SECONDS = 7 * 24 * 3600;
const BLOB_URL_SECONDS = 4 * RENEW_SECONDS;
const APP_PORT = 8080;

/** Every started process that has something to run, and what serves until it does, as the BBS ought to desire it. */
export async function wantedLrps(context: Context): Promise<WantedLrp[]> {
  const { db } = context;
  const processes = await db
    .selectFrom('processes')
    .innerJoin('apps', 'apps.guid', 'processes.app_guid')
    .selectAll('processes')
    .select('apps.space_guid')
    .where('processes.state', '=', 'STARTED')
    .execute();
  const routes = await routesByProcess(db);
  const egress = egressRules(db, 'running');
  const renewal = String(Math.floor(context.clock().getTime() / 1000 / RENEW_SECONDS));
  const outgoing = await db
    .selectFrom('outgoing_lrps')
    .innerJoin('processes', 'processes.guid', 'outgoing_lrps.process_guid')
    .innerJoin('apps', 'apps.guid', 'outgoing_lrps.app_guid')
    .select(['outgoing_lrps.lrp_guid', 'outgoing_lrps.instances', 'processes.app_guid', 'processes.type'])
    .select('apps.space_guid')
    .execute();
  const leaving = outgoing.map(async (lrp) => ({
    processGuid: processGuidOf(lrp.lrp_guid),
    version: versionOf(lrp.lrp_guid),
    instances: lrp.instances,
    routes: routes.get(`${lrp.app_guid}/${lrp.type}`) ?? [],
    egressRules: await egress(lrp.space_guid),
    outgoing: true as const,
    renewal,
    recipe: async () => null,
  }));
  const staying = processes.map(async (process) => ({
    processGuid: process.guid,
    version: process.version,
    instances: process.instances,
    routes: routes.get(`${process.app_guid}/${process.type}`) ?? [],
    egressRules: await egress(process.space_guid),
    renewal,
    recipe: () => recipeOf(context, process),
  }));
  return Promise.all([...staying, ...leaving]);
}

async function recipeOf(context: Context, process: Process): ReturnType<WantedLrp['recipe']> {
  const { db, blobs } = context;
  const app = await findApp(db, process.app_guid);
  const dropletGuid = process.droplet_guid ?? app?.droplet_guid ?? null;
  const droplet = dropletGuid === null ? null : await findDroplet(db, dropletGuid);
  if (!app || !droplet?.sha256) return null;
  return {
    app: identityOf(app),
    processGuid: process.guid,
    processType: process.type,
    version: process.version,
    memoryMb: process.memory_mb,
    diskMb: process.disk_mb,
    logRateLimit: process.log_rate_limit,
    command: process.command ?? droplet.process_types[process.type] ?? '',
    stack: droplet.stack ?? app.stack,
    placementTags: await placementTags(db, app.space_guid),
    environment: await environmentOf(context, app, process),
    healthCheck: healthCheckOf(context, process),
    readinessCheck: {
      type: process.readiness_type,
      endpoint: process.readiness_endpoint,
      invocationTimeout: process.readiness_invocation_timeout,
      interval: process.readiness_interval,
    },
    sidecars: (await sidecarsOfType(db, app.guid, process.type)).map((sidecar) => ({
      name: sidecar.name,
      command: sidecar.command,
      memoryMb: sidecar.memory_mb ?? 0,
    })),
    ports: [APP_PORT],
    droplet: { url: blobs.signedUrl('GET', 'droplets', droplet.guid, BLOB_URL_SECONDS), sha256: droplet.sha256 },
  };
}

async function environmentOf(context: Context, app: App, process: Process): Promise<Record<string, string>> {
  return runningEnvironment({
    app: identityOf(app),
    apiUrl: context.settings.urls.api,
    uris: process.type === 'web' ? await urisOfApp(context.db, app.guid) : [],
    group: await environmentGroup(context, 'running'),
    variables: openVariables(context.sealer, app),
    services: {},
    memoryMb: process.memory_mb,
    diskMb: process.disk_mb,
    fileDescriptors: FILE_DESCRIPTORS,
    processGuid: process.guid,
    processType: process.type,
    version: process.version,
  });
}

function healthCheckOf(context: Context, process: Process): ProcessRecipe['healthCheck'] {
  return {
    type: process.health_check_type,
    endpoint: process.health_check_endpoint,
    timeout: process.health_check_timeout ?? context.settings.defaults.healthCheckTimeoutSeconds,
    invocationTimeout: process.health_check_invocation_timeout,
    interval: process.health_check_interval,
  };
}
