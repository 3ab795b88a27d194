import { openVariables } from '../apps/sealed-variables.ts';
import { type App, type AppWithVariables, findAppWithVariables, identityOf, urisOfApp } from '../apps/store.ts';
import { FILE_DESCRIPTORS } from '../apps/vcap-application.ts';
import type { Context } from '../context.ts';
import type { Trx } from '../database.ts';
import { exposedPorts, openImage } from '../docker/images.ts';
import { findSealedDroplet, type SealedDroplet } from '../droplets/store.ts';
import { readGroup } from '../environment-variable-groups/store.ts';
import { isFeatureEnabled } from '../feature-flags/store.ts';
import { placementTags } from '../isolation-segments/placement.ts';
import { lrpGuid, processGuidOf } from '../processes/lrp-guid.ts';
import type { Process } from '../processes/store.ts';
import { sidecarsOfType } from '../sidecars/store.ts';
import { outgoingLrps, startedProcesses } from './desired.ts';
import { egressRules } from './egress-rules.ts';
import { type AppNames, runningEnvironment } from './environment.ts';
import type { ProcessRecipe, RecipeContent, RecipeRoute } from './recipe.ts';
import { routesByProcess } from './routes.ts';
import type { WantedLrp } from './sync.ts';
import type { Within } from './within.ts';

/** A droplet's URL expires (SECURITY 29), yet an instance may be moved at any time: it is signed anew each week. */
const RENEW_SECONDS = 7 * 24 * 3600;
const BLOB_URL_SECONDS = 4 * RENEW_SECONDS;
const APP_PORT = 8080;

/**
 * Every started process of these apps that has something to run, and what serves until it does, as the BBS ought to desire it: all of
 * one moment.
 */
export async function wantedLrps(context: Context, within: Within): Promise<WantedLrp[]> {
  return context.db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute((trx) => readWanted(context, trx, within));
}

/** When this changes what runs is desired anew. */
export function renewalOf(clock: Context['clock']): string {
  return String(Math.floor(clock().getTime() / 1000 / RENEW_SECONDS));
}

async function readWanted(context: Context, trx: Trx, within: Within): Promise<WantedLrp[]> {
  const asked = { within, docker: await isFeatureEnabled(trx, 'diego_docker') };
  const processes = await startedProcesses(trx, asked).selectAll('processes').execute();
  const outgoing = await outgoingLrps(trx, asked)
    .select(['outgoing_lrps.lrp_guid', 'outgoing_lrps.instances', 'processes.app_guid', 'processes.type'])
    .execute();
  const routes = await routesByProcess(trx, within);
  const egress = egressRules(trx, 'running');
  const renewal = renewalOf(context.clock);
  const comparedOf = async (row: (typeof outgoing | typeof processes)[number]) => ({
    appGuid: row.app_guid,
    instances: row.instances,
    routes: ledTo(row.lifecycle, routes.get(`${row.app_guid}/${row.type}`) ?? []),
    egressRules: await egress(row.space_guid),
    network: row.network,
    names: namesOf(row),
    renewal,
  });
  const leaving = outgoing.map(async (lrp) => ({
    ...(await comparedOf(lrp)),
    lrpGuid: lrp.lrp_guid,
    processGuid: processGuidOf(lrp.lrp_guid),
    outgoing: true as const,
    recipe: async () => null,
  }));
  const staying = processes.map(async (process) => ({
    ...(await comparedOf(process)),
    lrpGuid: lrpGuid(process.guid, process.version),
    processGuid: process.guid,
    recipe: () => recipeOf(context, process),
  }));
  return Promise.all([...staying, ...leaving]);
}

function namesOf(row: { app_name: string; space_name: string; organization_name: string }): AppNames {
  return { appName: row.app_name, spaceName: row.space_name, organizationName: row.organization_name };
}

async function recipeOf(context: Context, process: Process): ReturnType<WantedLrp['recipe']> {
  const { db } = context;
  const app = await findAppWithVariables(db, process.app_guid);
  const dropletGuid = process.droplet_guid ?? app?.droplet_guid ?? null;
  const droplet = dropletGuid === null ? null : await findSealedDroplet(db, dropletGuid);
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
  droplet: SealedDroplet,
  seconds: number,
): RecipeContent | null {
  const dockerImage = openImage(sealer, 'droplets', droplet);
  if (dockerImage) return { dockerImage };
  if (!droplet.sha256) return null;
  return {
    droplet: { url: blobs.signedUrl('GET', 'droplets', droplet.guid, seconds), sha256: droplet.sha256 },
  };
}

async function environmentOf(
  context: Context,
  app: AppWithVariables,
  process: Process,
): Promise<Record<string, string>> {
  return runningEnvironment({
    app: identityOf(app),
    apiUrl: context.settings.urls.api,
    uris: process.type === 'web' ? await urisOfApp(context.db, app.guid) : [],
    group: (await readGroup(context.db, context.sealer, 'running')).variables,
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
