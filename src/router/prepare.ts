import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { replaceFile } from '../kit/owned-files.ts';
import { renderRouterConfig, renderRouterMaps } from './config.ts';
import { readPersistedRoutes } from './persisted-routes.ts';
import { withoutInstances } from './route-table.ts';
import { instancesMapOf, type RouterSettings, routesMapOf } from './settings.ts';

/** By all: neither holds a secret. The directory's mode keeps others out. */
const READABLE = { mode: 0o644 };

/**
 * Writes what HAProxy starts from: configuration and maps with the routes control wanted last. To be called by the
 * supervisor before each start of HAProxy, so that a restart serves at once, with control away.
 * `inherited`: the numbers of listening sockets HAProxy will be started with, in the order of `routerListeners`; without
 * them it opens its own. Gives the configuration's path, and the problem where the routes could not be read (HAProxy then starts without any, and control brings them).
 *
 * Where the run directory has no maps, nothing runs yet, and the instances of before are gone: their routes have none (503) until
 * control knows of others.
 */
export async function prepareRouter(
  settings: RouterSettings,
  inherited?: readonly number[],
): Promise<{ configFile: string; problem?: string }> {
  await mkdir(settings.runDirectory, { recursive: true });
  const begins = !existsSync(routesMapOf(settings));
  const { table: wanted, problem } = await readPersistedRoutes(settings.stateDirectory, settings.poolSize);
  const table = begins ? withoutInstances(wanted) : wanted;
  const maps = renderRouterMaps(table);
  const configFile = `${settings.runDirectory}/haproxy.cfg`;
  replaceFile(routesMapOf(settings), maps.routes, READABLE);
  replaceFile(instancesMapOf(settings), maps.instances, READABLE);
  replaceFile(configFile, renderRouterConfig(settings, table, inherited), READABLE);
  return problem === undefined ? { configFile } : { configFile, problem };
}
