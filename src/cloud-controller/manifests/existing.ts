import { type App, findAppByName } from '../apps/store.ts';
import { openVariables } from '../apps/variables.ts';
import type { Context } from '../context.ts';
import { type Process, processesOfApp } from '../processes/store.ts';
import { addressOf, routesOfApp } from '../routes/store.ts';
import { formatBytes } from './sizes.ts';

/** An app as a manifest would write it, its environment included: for eyes that may see secrets. */
export async function manifestOfApp(context: Context, app: App): Promise<Record<string, unknown>> {
  const { db, sealer } = context;
  const processes = await processesOfApp(db, app.guid);
  const routes = await routesOfApp(db, app.guid);
  const sidecars = await db
    .selectFrom('sidecars')
    .selectAll()
    .where('app_guid', '=', app.guid)
    .orderBy('name')
    .execute();
  const { labels, annotations } = app;
  const metadata = {
    ...(isEmpty(labels) ? {} : { labels }),
    ...(isEmpty(annotations) ? {} : { annotations }),
  };
  return compact({
    name: app.name,
    lifecycle: app.lifecycle,
    ...(app.lifecycle === 'docker'
      ? { docker: await imageOfApp(context, app) }
      : { buildpacks: app.buildpacks.length > 0 ? app.buildpacks : null, stack: app.stack }),
    env: nullIfEmpty(openVariables(sealer, app)),
    features: {
      ssh: app.ssh_enabled,
      revisions: app.revisions_enabled,
      // A feature of this platform alone: said where somebody turned it off.
      ...(app.rolling_restarts_enabled ? {} : { 'rolling-restarts': false }),
    },
    metadata: nullIfEmpty(metadata),
    routes: nullIfNone(
      routes
        .flatMap(({ route, destinations }) =>
          destinations.map((destination) => ({ route: addressOf(route), protocol: destination.protocol })),
        )
        .sort((a, b) => (a.route < b.route ? -1 : 1)),
    ),
    processes: nullIfNone(latestOfEachType(processes).map(manifestOfProcess)),
    sidecars: nullIfNone(
      sidecars.map((sidecar) =>
        compact({
          name: sidecar.name,
          process_types: sidecar.process_types,
          command: sidecar.command,
          memory: sidecar.memory_mb === null ? null : `${sidecar.memory_mb}M`,
        }),
      ),
    ),
  });
}

/** The image as it was pushed, not as staging pinned it; null where nothing was staged. */
async function imageOfApp({ db }: Context, app: App): Promise<Record<string, string> | null> {
  const pushed = await db
    .selectFrom('droplets')
    .innerJoin('packages', 'packages.guid', 'droplets.package_guid')
    .select(['packages.docker_image', 'packages.docker_username'])
    .where('droplets.guid', '=', app.droplet_guid ?? '')
    .executeTakeFirst();
  if (!pushed?.docker_image) return null;
  return { image: pushed.docker_image, ...(pushed.docker_username ? { username: pushed.docker_username } : {}) };
}

/** The manifests of the apps of these names that exist in a space. */
export async function manifestsByName(
  context: Context,
  spaceGuid: string,
  names: readonly string[],
): Promise<ReadonlyMap<string, Record<string, unknown>>> {
  const found = new Map<string, Record<string, unknown>>();
  for (const name of new Set(names)) {
    const app = await findAppByName(context.db, spaceGuid, name);
    if (app) found.set(name, await manifestOfApp(context, app));
  }
  return found;
}

function latestOfEachType(processes: readonly Process[]): Process[] {
  const latest = new Map(processes.map((process) => [process.type, process]));
  return [...latest.values()].sort((a, b) => (a.type < b.type ? -1 : 1));
}

function manifestOfProcess(process: Process): Record<string, unknown> {
  return compact({
    type: process.type,
    instances: process.instances,
    memory: `${process.memory_mb}M`,
    disk_quota: `${process.disk_mb}M`,
    'log-rate-limit-per-second': process.log_rate_limit === -1 ? -1 : formatBytes(process.log_rate_limit),
    command: process.command,
    'health-check-type': process.health_check_type,
    'health-check-http-endpoint': process.health_check_endpoint,
    'health-check-invocation-timeout': process.health_check_invocation_timeout,
    'health-check-interval': process.health_check_interval,
    'readiness-health-check-type': process.readiness_type,
    'readiness-health-check-http-endpoint': process.readiness_endpoint,
    'readiness-health-check-invocation-timeout': process.readiness_invocation_timeout,
    'readiness-health-check-interval': process.readiness_interval,
    timeout: process.health_check_timeout,
  });
}

const isEmpty = (fields: object): boolean => Object.keys(fields).length === 0;
const nullIfEmpty = <T extends object>(fields: T): T | null => (isEmpty(fields) ? null : fields);
const nullIfNone = <T>(items: readonly T[]): readonly T[] | null => (items.length === 0 ? null : items);

function compact(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}
