import { randomInt } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { isRouteLabel } from '../../contracts/route-grammar.ts';
import type { App } from '../apps/store.ts';
import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { defaultDomain, findDomainByName, isUsableBy } from '../domains/store.ts';
import { unprocessable } from '../errors.ts';
import { requireFeature } from '../feature-flags/store.ts';
import { createRoute } from '../routes/create.ts';
import { addDestinations, removeDestination, replaceDestination } from '../routes/destinations.ts';
import { routeEvent } from '../routes/events.ts';
import { findRouteByAddress, findWebDestination, type Route, routesOfApp, updateRoute } from '../routes/store.ts';
import { findSpace } from '../spaces/store.ts';
import type { ManifestApp, ManifestRoute } from './app.ts';
import { hostDomainCandidates, parseRouteString } from './route-string.ts';

export interface By {
  actor: Actor;
  isAdmin: boolean;
}

/** Maps and unmaps the routes a manifest names. Routes the manifest does not name stay, unless it says no-route. */
export async function applyRoutes(context: Context, app: App, manifest: ManifestApp, by: By): Promise<void> {
  const existing = await routesOfApp(context.db, app.guid);
  if (manifest.noRoute) {
    for (const { route, destinations } of existing) {
      for (const destination of destinations) await removeDestination(context, route, destination.guid, by.actor);
    }
    return;
  }
  if (manifest.routes) {
    for (const route of manifest.routes) await mapRoute(context, app, route, by);
    return;
  }
  if (existing.length > 0 || !(manifest.randomRoute || manifest.defaultRoute)) return;
  const host = hostOf(app.name, manifest.randomRoute);
  const domain = await defaultDomain(context.db, app.organization_guid);
  if (!domain) throw unprocessable('No default domains available');
  const spelling = `${host}.${domain.name}`;
  const route = parseRouteString(spelling);
  if (!route) throw unprocessable(`The route '${spelling}' is not a properly formed URL`);
  await mapRoute(context, app, { spelling, route, protocol: null }, by);
}

async function setOptions(context: Context, route: Route, { options }: ManifestRoute, by: By): Promise<void> {
  if (!options || isDeepStrictEqual(options, route.options)) return;
  await context.db.transaction().execute(async (trx) => {
    await updateRoute(trx, route.guid, { options });
    await recordEvent(
      trx,
      routeEvent('audit.route.update', by.actor, route, { request: { options, manifest_triggered: true } }),
    );
  });
}

/** An app's name as a host, made unguessable to collide with where asked. */
function hostOf(name: string, random: boolean): string {
  const prefix = 'Failed to create default route from app name:';
  if (!random) {
    if (name.length > 63) throw unprocessable(`${prefix} Host cannot exceed 63 characters`);
    if (!isRouteLabel(name.toLowerCase())) {
      throw unprocessable(`${prefix} Host must be either "*" or contain only alphanumeric characters, "_", or "-"`);
    }
    return name;
  }
  const plain =
    name
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, 40) || 'app';
  const words = Array.from({ length: 2 }, () =>
    randomInt(36 ** 4)
      .toString(36)
      .padStart(4, '0'),
  );
  return `${plain}-${words.join('-')}`;
}

async function mapRoute(context: Context, app: App, wanted: ManifestRoute, by: By): Promise<void> {
  const { spelling, route: address } = wanted;
  if (address.port !== null) throw unprocessable(`The route '${spelling}' has a port; TCP routes are not available.`);
  const space = await findSpace(context.db, app.space_guid);
  if (!space) throw unprocessable('The space was deleted');
  for (const { host, domain: name } of hostDomainCandidates(address.host)) {
    const domain = await findDomainByName(context.db, name);
    if (!domain || !isUsableBy(domain, app.organization_guid)) continue;
    const target = { domainGuid: domain.guid, host, path: address.path };
    let route = await findRouteByAddress(context.db, target);
    if (route && route.space_guid !== app.space_guid) {
      throw unprocessable('Routes cannot be mapped to destinations in different spaces');
    }
    if (!route) {
      // Asked here: whether a manifest makes a route shows when it is applied.
      if (!by.isAdmin) await requireFeature(context.db, 'route_creation');
      const request = { host, path: address.path, domain: name, manifest_triggered: true };
      route = await createRoute(
        context,
        { space, domain, host, path: address.path, options: wanted.options },
        { ...by, request },
      );
    } else await setOptions(context, route, wanted, by);
    const same = await findWebDestination(context.db, route.guid, app.guid);
    const protocol = wanted.protocol ?? same?.protocol ?? 'http1';
    if (same?.protocol === protocol) return;
    const destination = { appGuid: app.guid, processType: 'web', port: same?.port ?? 8080, protocol };
    if (same) await replaceDestination(context, route, same.guid, destination, by.actor);
    else await addDestinations(context, route, [destination], by.actor);
    return;
  }
  throw unprocessable(`The route '${spelling}' did not match any existing domains.`);
}
