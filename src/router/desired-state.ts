import type { Owner, RouteEntry } from '../contracts/gen/diego_pb.js';
import { isRouteServer, type RoutePool, type RouteServer, type RouteTable, routeKey } from './route-table.ts';

/** Whose an instance is; for the access log. */
export interface InstanceOwner {
  owner: Owner;
  index: number;
}

export interface DesiredState {
  table: RouteTable;
  instances: Map<string, InstanceOwner>;
  /** Entries that are not served, with the reason; stable text, so that it can be logged once. */
  refused: string[];
}

export interface DesiredStateOptions {
  systemHosts: readonly string[];
  poolSize: number;
  /** The pools of the last table; a key keeps its slot. */
  previous: readonly RoutePool[];
  /** Slots in which HAProxy still has servers: nobody else may have them until they are empty. */
  occupied: ReadonlySet<number>;
}

interface Destinations {
  /** The processes and ports behind the route. */
  key: string;
  servers: Map<string, RouteServer>;
}

/**
 * What the router is to serve, from the BBS's routing table (RTR-03). A route is one entry of the map, whoever maps to
 * it; several apps on one route share its pool, and routes with the same destinations share one pool.
 * Pure: the same input gives the same state.
 */
export function desiredState(entries: readonly RouteEntry[], options: DesiredStateOptions): DesiredState {
  const refused = new Set<string>();
  const instances = new Map<string, InstanceOwner>();
  const routes = new Map<string, Destinations>();
  const reserved = new Set(options.systemHosts.map((host) => host.toLowerCase()));

  for (const { route, owner, endpoints } of entries) {
    if (!route || !owner) continue;
    const key = routeKey(route.host, route.path);
    if (key === null) {
      refused.add(`route ${route.guid} has a host or path that cannot be served`);
      continue;
    }
    if (reserved.has(route.host.toLowerCase())) {
      // The Cloud Controller refuses such routes; the router does not depend on it (SECURITY-TESTS 10).
      refused.add(`route ${route.guid} claims the system host ${route.host.toLowerCase()}`);
      continue;
    }
    const destinations = routes.get(key) ?? { key: '', servers: new Map<string, RouteServer>() };
    routes.set(key, destinations);
    destinations.key = mergeKey(
      destinations.key,
      `${owner.processGuid || owner.appGuid}:${route.port}:${route.protocol}`,
    );
    for (const endpoint of endpoints) {
      const server: RouteServer = {
        instanceGuid: endpoint.instanceGuid,
        address: endpoint.address,
        port: endpoint.port,
        http2: route.protocol === 'http2',
        appGuid: owner.appGuid,
        index: endpoint.index,
      };
      if (!isRouteServer(server)) {
        refused.add(`instance ${JSON.stringify(endpoint.instanceGuid)} has a name or address that cannot be served`);
        continue;
      }
      destinations.servers.set(server.instanceGuid, server);
      instances.set(server.instanceGuid, { owner, index: endpoint.index });
    }
  }
  return { table: assign(routes, options, refused), instances, refused: [...refused] };
}

function mergeKey(key: string, part: string): string {
  return [...new Set([...key.split(',').filter(Boolean), part])].sort().join(',');
}

/** Gives each set of destinations a slot: its own of before, or a free one. */
function assign(
  routes: ReadonlyMap<string, Destinations>,
  options: DesiredStateOptions,
  refused: Set<string>,
): RouteTable {
  const wanted = new Map<string, { servers: RouteServer[]; fingerprint: string }>();
  const poolOf = new Map<string, string | null>();
  for (const [route, { key, servers }] of [...routes].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (servers.size === 0) {
      poolOf.set(route, null);
      continue;
    }
    const list = [...servers.values()].sort((a, b) => (a.instanceGuid < b.instanceGuid ? -1 : 1));
    const fingerprint = JSON.stringify(list);
    // During a deployment two routes of a process may have different instances for a moment: then they do not share.
    const shared = wanted.get(key);
    const own = shared === undefined || shared.fingerprint === fingerprint ? key : `${key}@${route}`;
    wanted.set(own, { servers: list, fingerprint });
    poolOf.set(route, own);
  }

  const slots = new Map(options.previous.filter(({ key }) => wanted.has(key)).map(({ key, slot }) => [key, slot]));
  const taken = new Set([...slots.values(), ...options.previous.map(({ slot }) => slot), ...options.occupied]);
  let next = 0;
  for (const key of wanted.keys()) {
    if (slots.has(key)) continue;
    while (taken.has(next)) next += 1;
    if (next >= options.poolSize) {
      refused.add(`the pool of ${options.poolSize} backends is used up; some routes are without one`);
      break;
    }
    taken.add(next);
    slots.set(key, next);
  }
  return {
    pools: [...slots]
      .map(([key, slot]) => ({ key, slot, servers: wanted.get(key)!.servers }))
      .sort((a, b) => a.slot - b.slot),
    routes: new Map([...poolOf].map(([route, key]) => [route, key === null ? null : (slots.get(key) ?? null)])),
  };
}
