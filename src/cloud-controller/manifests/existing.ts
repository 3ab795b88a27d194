import { type App, findAppsByName } from '../apps/store.ts';
import { sealedVariables, type VariablesReader, visibleVariables } from '../apps/variables.ts';
import type { Guid } from '../guid.ts';
import { type Process, processesOfApp } from '../processes/store.ts';
import { addressOf, routesOfApp } from '../routes/store.ts';
import { sidecarsOfApp } from '../sidecars/store.ts';
import type { Fields } from './fields.ts';
import { formatBytes } from './sizes.ts';
import { pushedImage } from './store.ts';

/** An app as a manifest would write it, with its variables where the foundation lets the caller read them. */
export async function manifestOfApp(call: VariablesReader, app: App): Promise<Fields> {
  const { db } = call.context;
  const processes = await processesOfApp(db, app.guid);
  const routes = await routesOfApp(db, app.guid);
  const sidecars = await sidecarsOfApp(db, app.guid);
  const { labels, annotations } = app;
  const metadata = {
    ...(isEmpty(labels) ? {} : { labels }),
    ...(isEmpty(annotations) ? {} : { annotations }),
  };
  return compact({
    name: app.name,
    lifecycle: app.lifecycle,
    ...(app.lifecycle === 'docker'
      ? { docker: await pushedImage(db, app.droplet_guid) }
      : { buildpacks: app.buildpacks.length > 0 ? app.buildpacks : null, stack: app.stack }),
    env: nullIfEmpty((await visibleVariables(call, await sealedVariables(db, app.guid))) ?? {}),
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
          destinations.map((destination) => ({
            route: addressOf(route),
            protocol: destination.protocol,
            ...(isEmpty(route.options) ? {} : { options: route.options }),
          })),
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

/** The manifests of the apps of these names that exist in a space. */
export async function manifestsByName(
  call: VariablesReader,
  spaceGuid: Guid<'space'>,
  names: readonly string[],
): Promise<ReadonlyMap<string, Fields>> {
  const found = new Map<string, Fields>();
  const apps = await findAppsByName(call.context.db, spaceGuid, names);
  for (const name of new Set(names)) {
    const app = apps.get(name.toLowerCase());
    if (app) found.set(name, await manifestOfApp(call, app));
  }
  return found;
}

function latestOfEachType(processes: readonly Process[]): Process[] {
  const latest = new Map(processes.map((process) => [process.type, process]));
  return [...latest.values()].sort((a, b) => (a.type < b.type ? -1 : 1));
}

function manifestOfProcess(process: Process): Fields {
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

function compact(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}
