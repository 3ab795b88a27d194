import { create } from '@bufbuild/protobuf';
import { type Owner, OwnerSchema, type RouteEntry } from '../contracts/gen/diego_pb.js';
import { isRouteServer, type RouteServer, routeKey } from './route-table.ts';

/** Whose an instance is; for the access log. */
export interface InstanceOwner {
  owner: Owner;
  index: number;
}

/** What is not served. */
export interface Refusal {
  /** What and why; stable, so that it can be said once. */
  text: string;
  /** The apps behind it. */
  owners: Owner[];
}

/** The instances of a process behind one of its ports. */
export interface Destination {
  /** Process, port and protocol. */
  key: string;
  owner: Owner;
  servers: RouteServer[];
}

/** Of a process without instances it does not matter which it is. */
export const IDLE_DESTINATION: Destination = { key: '', owner: create(OwnerSchema), servers: [] };

/** What one LRP asks of the router, checked. */
export interface ProcessRoutes {
  /** By the map's key. Several of its ports may be behind one route. */
  routes: Map<string, Destination[]>;
  /** Those that can be served, by their guid. */
  instances: Map<string, InstanceOwner>;
  refused: Refusal[];
  /** Routes that ask for HTTP/2 where it is off, with their app. */
  servedAsHttp1: string[];
}

export interface RouteRules {
  /** In lower case. */
  reserved: ReadonlySet<string>;
  http2Apps: boolean;
}

/** Reads the BBS's entries of one LRP (RTR-03). Pure: the same entries give the same. */
export function processRoutes(entries: readonly RouteEntry[], { reserved, http2Apps }: RouteRules): ProcessRoutes {
  const refused: Refusal[] = [];
  const servedAsHttp1 = new Set<string>();
  const instances = new Map<string, InstanceOwner>();
  const routes = new Map<string, Destination[]>();
  for (const { route, owner, endpoints } of entries) {
    if (!route || !owner) continue;
    const key = routeKey(route.host, route.path);
    if (key === null) {
      refused.push({ text: `route ${route.guid} has a host or path that cannot be served`, owners: [owner] });
      continue;
    }
    if (reserved.has(route.host.toLowerCase())) {
      // The Cloud Controller refuses such routes; the router does not depend on it (SECURITY-TESTS 10).
      refused.push({ text: `route ${route.guid} claims the system host ${route.host.toLowerCase()}`, owners: [owner] });
      continue;
    }
    const asked = route.protocol === 'http2';
    if (asked && !http2Apps) servedAsHttp1.add(`${key.slice(0, -1)} of app ${owner.appName} (${owner.appGuid})`);
    const servers: RouteServer[] = [];
    for (const endpoint of endpoints) {
      const server: RouteServer = {
        instanceGuid: endpoint.instanceGuid,
        address: endpoint.address,
        port: endpoint.port,
        http2: asked && http2Apps,
        appGuid: owner.appGuid,
        ...(owner.processGuid && { processGuid: owner.processGuid }),
        index: endpoint.index,
      };
      if (!isRouteServer(server)) {
        const text = `instance ${JSON.stringify(endpoint.instanceGuid)} has a name or address that cannot be served`;
        refused.push({ text, owners: [owner] });
        continue;
      }
      servers.push(server);
      instances.set(server.instanceGuid, { owner, index: endpoint.index });
    }
    const destination =
      servers.length === 0
        ? IDLE_DESTINATION
        : { key: `${owner.processGuid || owner.appGuid}:${route.port}:${route.protocol}`, owner, servers };
    const known = routes.get(key);
    if (known) known.push(destination);
    else routes.set(key, [destination]);
  }
  return { routes, instances, refused, servedAsHttp1: [...servedAsHttp1] };
}

/** Each text once, with everybody it concerns; in the order of the texts, and of the apps' guids. */
export function mergedRefusals(refused: Iterable<Refusal>): Refusal[] {
  const owners = new Map<string, Map<string, Owner>>();
  for (const { text, owners: of } of refused) {
    const known = owners.get(text) ?? new Map<string, Owner>();
    for (const owner of of) known.set(owner.appGuid, owner);
    owners.set(text, known);
  }
  return [...owners]
    .map(([text, of]) => ({ text, owners: [...of.values()].sort((a, b) => (a.appGuid < b.appGuid ? -1 : 1)) }))
    .sort((a, b) => (a.text < b.text ? -1 : 1));
}

/** The entries by their LRP. */
export function byProcess(entries: readonly RouteEntry[]): Map<string, RouteEntry[]> {
  const processes = new Map<string, RouteEntry[]>();
  for (const entry of entries) {
    const known = processes.get(entry.processGuid);
    if (known) known.push(entry);
    else processes.set(entry.processGuid, [entry]);
  }
  return processes;
}
