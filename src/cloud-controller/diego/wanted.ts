import { sidecarsOfType } from '../apps/sidecars.ts';
import { type App, findApp, identityOf } from '../apps/store.ts';
import { openVariables } from '../apps/variables.ts';
import type { Context } from '../context.ts';
import { exposedPorts, openImage } from '../docker/images.ts';
import { type Droplet, findDroplet } from '../droplets/store.ts';
import { isFeatureEnabled } from '../feature-flags/store.ts';
import { FILE_DESCRIPTORS } from '../processes/instances.ts';
import type { Process } from '../processes/store.ts';
import { runningEnvironment } from './environment.ts';
import { egressRules, environmentGroup } from './groups.ts';
import { placementTags } from './placement.ts';
import { type ProcessRecipe, processGuidOf, type RecipeContent, type RecipeRoute, versionOf } from './recipe.ts';
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
    .select(['apps.space_guid', 'apps.lifecycle'])
    .where('processes.state', '=', 'STARTED')
    .execute();
  const docker = await isFeatureEnabled(db, 'diego_docker');
  const routes = await routesByProcess(db);
  const egress = egressRules(db, 'running');
  const renewal = String(Math.floor(context.clock().getTime() / 1000 / RENEW_SECONDS));
  const routesOf = (lifecycle: App['lifecycle'], appGuid: string, type: string): RecipeRoute[] =>
    ledTo(lifecycle, routes.get(`${appGuid}/${type}`) ?? []);
  // An operator who takes images back wants those stopped that run.
  const isAllowed = ({ lifecycle }: { lifecycle: App['lifecycle'] }): boolean => lifecycle !== 'docker' || docker;
  const outgoing = await db
    .selectFrom('outgoing_lrps')
    .innerJoin('processes', 'processes.guid', 'outgoing_lrps.process_guid')
    .innerJoin('apps', 'apps.guid', 'outgoing_lrps.app_guid')
    .select(['outgoing_lrps.lrp_guid', 'outgoing_lrps.instances', 'processes.app_guid', 'processes.type'])
    .select(['apps.space_guid', 'apps.lifecycle'])
    .execute();
  const leaving = outgoing.filter(isAllowed).map(async (lrp) => ({
    processGuid: processGuidOf(lrp.lrp_guid),
    version: versionOf(lrp.lrp_guid),
    instances: lrp.instances,
    routes: routesOf(lrp.lifecycle, lrp.app_guid, lrp.type),
    egressRules: await egress(lrp.space_guid),
    outgoing: true as const,
    renewal,
    recipe: async () => null,
  }));
  const staying = processes.filter(isAllowed).map(async (process) => ({
    processGuid: process.guid,
    version: process.version,
    instances: process.instances,
    routes: routesOf(process.lifecycle, process.app_guid, process.type),
    egressRules: await egress(process.space_guid),
    renewal,
    recipe: () => recipeOf(context, process),
  }));
  return Promise.all([...staying, ...leaving]);
}

async function recipeOf(context: Context, process: Process): ReturnType<WantedLrp['recipe']> {
  const { db } = context;
  const app = await findApp(db, process.app_guid);
  const dropletGuid = process.droplet_guid ?? app?.droplet_guid ?? null;
  const droplet = dropletGuid === null ? null : await findDroplet(db, dropletGuid);
  const content = droplet ? contentOf(context, droplet, BLOB_URL_SECONDS) : null;
  if (!app || !droplet || !content) return null;
  const isImage = 'dockerImage' in content;
  const ports = isImage ? exposedPorts(droplet.execution_metadata) : [];
  // An image starts what it says itself, word for word; only a command of the app's own takes its place.
  const detected = isImage ? '' : (droplet.process_types[process.type] ?? '');
  return {
    app: identityOf(app),
    processGuid: process.guid,
    processType: process.type,
    version: process.version,
    memoryMb: process.memory_mb,
    diskMb: process.disk_mb,
    logRateLimit: process.log_rate_limit,
    command: process.command ?? detected,
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
    ports: ports.length > 0 ? ports : [APP_PORT],
    content,
  };
}

/** For an image the usual port stands for whichever it exposes first; Diego calls that 0. */
function ledTo(lifecycle: App['lifecycle'], routes: readonly RecipeRoute[]): RecipeRoute[] {
  if (lifecycle !== 'docker') return [...routes];
  return routes.map((route) => (route.port === APP_PORT ? { ...route, port: 0 } : route));
}

/** What a cell needs to run a droplet; null where it is not staged. */
export function contentOf(
  { sealer, blobs }: Pick<Context, 'sealer' | 'blobs'>,
  droplet: Droplet,
  seconds: number,
): RecipeContent | null {
  const dockerImage = openImage(sealer, 'droplets', droplet);
  if (dockerImage) return { dockerImage };
  if (!droplet.sha256) return null;
  return {
    droplet: { url: blobs.signedUrl('GET', 'droplets', droplet.guid, seconds), sha256: droplet.sha256 },
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
    ofImage: app.lifecycle === 'docker',
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
