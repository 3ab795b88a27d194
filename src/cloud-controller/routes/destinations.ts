import type { Static } from 'typebox';
import { spacesOfApps } from '../apps/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { lockRow, type Trx } from '../database.ts';
import { notFound, unprocessable } from '../errors.ts';
import { recordMapping } from './events.ts';
import { requireProtocol } from './protocols.ts';
import type { ReplaceDestinations } from './schema.ts';
import {
  addressOf,
  type Destination,
  deleteDestination,
  destinationsOf,
  insertDestination,
  type Route,
  type Target,
} from './store.ts';

const DEFAULT_PORT = 8080;
const MAX_DESTINATIONS = 100;

/** Reads destinations from a body; ports and protocols have their defaults. */
export function targetsOf(body: Static<typeof ReplaceDestinations>): Target[] {
  const targets = body.destinations.map((item, index): Target => {
    if (item.weight !== undefined && item.weight !== null) {
      throw unprocessable(`Destinations[${index}]: weighted destinations are not supported.`);
    }
    return {
      appGuid: item.app.guid,
      processType: item.app.process?.type ?? 'web',
      port: item.port ?? DEFAULT_PORT,
      protocol: item.protocol ?? 'http1',
    };
  });
  if (new Set(targets.map(keyOf)).size !== targets.length) {
    throw unprocessable('Destinations cannot contain duplicate entries');
  }
  return targets;
}

/** Adds destinations; those that are there stay. */
export async function addDestinations(
  context: Context,
  route: Route,
  targets: readonly Target[],
  actor: Actor,
): Promise<Destination[]> {
  return change(context, route, actor, async (trx, existing) => {
    await checkApps(trx, route, targets);
    return { add: notThere(route, targets, existing), remove: [] };
  });
}

/** Throws UnprocessableEntity where one is there with another protocol. */
function notThere(route: Route, targets: readonly Target[], existing: readonly Destination[]): Target[] {
  const there = new Map(existing.map((item) => [keyOfRow(item), item]));
  for (const target of targets) {
    const same = there.get(keyOf(target));
    if (same && same.protocol !== target.protocol) {
      throw unprocessable(
        `Cannot add destination with protocol: ${target.protocol}. Destination already exists for route: ${addressOf(route)}, app: ${target.appGuid}, process: ${target.processType}, and protocol: ${same.protocol}.`,
      );
    }
  }
  return targets.filter((target) => !there.has(keyOf(target)));
}

/** Makes these the only destinations. */
export async function replaceDestinations(
  context: Context,
  route: Route,
  targets: readonly Target[],
  actor: Actor,
): Promise<Destination[]> {
  return change(context, route, actor, async (trx, existing) => {
    await checkApps(trx, route, targets);
    const full = (key: string, protocol: string): string => `${key} ${protocol}`;
    const wanted = new Set(targets.map((target) => full(keyOf(target), target.protocol)));
    const there = new Set(existing.map((item) => full(keyOfRow(item), item.protocol)));
    return {
      add: targets.filter((target) => !there.has(full(keyOf(target), target.protocol))),
      remove: existing.filter((item) => !wanted.has(full(keyOfRow(item), item.protocol))),
    };
  });
}

/** Puts another in the place of one, so that the route leads there at every moment; or adds it, where that one is gone. Throws as `addDestinations`. */
export async function replaceDestination(
  context: Context,
  route: Route,
  guid: string,
  target: Target,
  actor: Actor,
): Promise<void> {
  await change(context, route, actor, async (trx, existing) => {
    await checkApps(trx, route, [target]);
    const [remove, others] = [
      existing.filter((item) => item.guid === guid),
      existing.filter((item) => item.guid !== guid),
    ];
    return { add: notThere(route, [target], others), remove };
  });
}

/** Takes one destination away. */
export async function removeDestination(context: Context, route: Route, guid: string, actor: Actor): Promise<void> {
  await change(context, route, actor, async (_trx, existing) => {
    const found = existing.filter((item) => item.guid === guid);
    if (found.length === 0) throw noSuchDestination();
    return { add: [], remove: found };
  });
}

export function noSuchDestination() {
  return unprocessable('Unable to unmap route from destination. Ensure the route has a destination with this guid.');
}

type Change = { add: readonly Target[]; remove: readonly Destination[] };

async function change(
  context: Context,
  route: Route,
  actor: Actor,
  decide: (trx: Trx, existing: readonly Destination[]) => Promise<Change>,
): Promise<Destination[]> {
  const { after, apps } = await context.db.transaction().execute(async (trx) => {
    // Changes of one route wait for each other.
    await lockRow(trx, 'routes', route.guid, notFound('Route'));
    const existing = (await destinationsOf(trx, [route.guid])).get(route.guid) ?? [];
    const { add, remove } = await decide(trx, existing);
    for (const { protocol } of add) requireProtocol(context.settings, protocol);
    if (existing.length + add.length - remove.length > MAX_DESTINATIONS) {
      throw unprocessable(`Routes can be mapped to at most ${MAX_DESTINATIONS} destinations.`);
    }
    for (const item of remove) {
      await deleteDestination(trx, item.guid);
      await recordMapping(
        trx,
        'audit.app.unmap-route',
        route,
        { ...item, appGuid: item.app_guid, processType: item.process_type },
        actor,
      );
    }
    for (const target of add) {
      await insertDestination(trx, route.guid, target);
      await recordMapping(trx, 'audit.app.map-route', route, target, actor);
    }
    return {
      after: (await destinationsOf(trx, [route.guid])).get(route.guid) ?? [],
      apps: [...add.map((target) => target.appGuid), ...remove.map((item) => item.app_guid)],
    };
  });
  context.changed(apps);
  return after;
}

/** The apps must exist and lie in the route's space. */
async function checkApps(trx: Trx, route: Route, targets: readonly Target[]): Promise<void> {
  const guids = [...new Set(targets.map((target) => target.appGuid))];
  const spaces = await spacesOfApps(trx, guids);
  const missing = guids.filter((guid) => !spaces.has(guid));
  if (missing.length > 0) throw unprocessable(`App(s) with guid(s) "${missing.join('", "')}" do not exist.`);
  if (guids.some((guid) => spaces.get(guid) !== route.space_guid)) {
    throw unprocessable("Routes destinations must be in either the route's space or the route's shared spaces");
  }
}

function keyOf(target: Target): string {
  return `${target.appGuid} ${target.processType} ${target.port}`;
}

function keyOfRow(row: Destination): string {
  return `${row.app_guid} ${row.process_type} ${row.port}`;
}
