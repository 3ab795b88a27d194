import { isIP } from 'node:net';
import { isRouteHost, isRoutePath, routePathKey } from '../contracts/route-grammar.ts';
import { inTurns } from '../kit/turns.ts';

/** An instance as HAProxy's server: its name is the instance's GUID, and its certificate must carry it. */
export interface RouteServer {
  instanceGuid: string;
  /** Of the cell proxy. */
  address: string;
  port: number;
  http2: boolean;
  appGuid: string;
  /** Absent in a table that was written before it was there. */
  processGuid?: string;
  index: number;
}

/** A backend of the pool in use: the instances of every route that has the same destinations. */
export interface RoutePool {
  slot: number;
  /** What the slot was taken for; it keeps the slot as long as it is wanted. */
  key: string;
  servers: RouteServer[];
}

/** What HAProxy is to serve. Routes: `host/path/` → slot, or null where no instance runs. */
export interface RouteTable {
  pools: RoutePool[];
  routes: ReadonlyMap<string, number | null>;
}

export const EMPTY_ROUTE_TABLE: RouteTable = { pools: [], routes: new Map() };

/** The same routes, none of which leads anywhere. */
export function withoutInstances({ routes }: RouteTable): RouteTable {
  return { pools: [], routes: new Map([...routes.keys()].map((key) => [key, null])) };
}

/** What became of slots (null: left) and of routes (undefined: gone). */
export interface RouteChange {
  pools: Map<number, RoutePool | null>;
  routes: Map<string, number | null | undefined>;
}

export function noChange(): RouteChange {
  return { pools: new Map(), routes: new Map() };
}

const GUID = /^[A-Za-z0-9][A-Za-z0-9-]{0,99}$/;

/** Whether every value may stand in the configuration, whoever wrote it: a type says nothing of what a file held. */
export function isRouteServer(server: RouteServer): boolean {
  return (
    GUID.test(server.instanceGuid) &&
    GUID.test(server.appGuid) &&
    (server.processGuid === undefined || GUID.test(server.processGuid)) &&
    isIP(server.address) !== 0 &&
    Number.isInteger(server.port) &&
    server.port > 0 &&
    server.port < 65_536 &&
    Number.isInteger(server.index) &&
    server.index >= 0 &&
    typeof server.http2 === 'boolean'
  );
}

/** The map's key of a route, in one piece of memory: lower case, ending in "/", so that the longest prefix of a request's `host/path/` is its route. */
export function routeKey(host: string, path: string): string | null {
  const name = host.toLowerCase();
  return isRouteHost(name) && isRoutePath(path) ? [name, routePathKey(path), '/'].join('') : null;
}

/** Whether this is a key as `routeKey` gives it. */
export function isRouteKey(key: string): boolean {
  const slash = key.indexOf('/');
  if (slash <= 0 || !key.endsWith('/') || key !== key.toLowerCase()) return false;
  return isRouteHost(key.slice(0, slash)) && isRoutePath(key.slice(slash, -1));
}

/**
 * The keys of X-CF-App-Instance and X-CF-Process-Instance; they name the pool, so that a route never leads to another's
 * instance.
 */
export function instanceKeys(backend: string, { appGuid, processGuid, index }: RouteServer): string[] {
  const guids = new Set([appGuid, processGuid ?? appGuid]);
  return [...guids].map((guid) => `${backend}/${guid}:${index}`);
}

/** In the same order. */
export function sameServers(some: readonly RouteServer[], others: readonly RouteServer[]): boolean {
  return some.length === others.length && some.every((server, at) => sameServer(server, others[at]!));
}

function sameServer(one: RouteServer, other: RouteServer): boolean {
  return (
    one.instanceGuid === other.instanceGuid &&
    one.address === other.address &&
    one.port === other.port &&
    one.http2 === other.http2 &&
    one.appGuid === other.appGuid &&
    one.processGuid === other.processGuid &&
    one.index === other.index
  );
}

/** Whether they say the same of every slot and route. Others have their turns meanwhile. */
export async function sameTable(one: RouteTable, other: RouteTable): Promise<boolean> {
  if (one.pools.length !== other.pools.length || one.routes.size !== other.routes.size) return false;
  const pools = new Map(other.pools.map((pool) => [pool.slot, pool]));
  for await (const { slot, key, servers } of inTurns(one.pools)) {
    const pool = pools.get(slot);
    if (pool?.key !== key || !sameServers(pool.servers, servers)) return false;
  }
  for await (const [key, slot] of inTurns(one.routes)) if (other.routes.get(key) !== slot) return false;
  return true;
}

/**
 * A pool's servers with the places that they had, for its map knows them by their places: one that is new takes the place of one that
 * went, or comes last, and a place that is left is taken by the last.
 */
export function arranged(before: readonly RouteServer[], wanted: readonly RouteServer[]): RouteServer[] {
  const left = new Map(wanted.map((server) => [server.instanceGuid, server]));
  const places = before.map(({ instanceGuid }) => {
    const server = left.get(instanceGuid);
    left.delete(instanceGuid);
    return server;
  });
  const fresh = [...left.values()];
  const result: (RouteServer | undefined)[] = [...places.map((server) => server ?? fresh.shift()), ...fresh];
  for (let at = 0; at < result.length; at += 1) {
    while (result.length > at && result.at(-1) === undefined) result.pop();
    if (at < result.length && result[at] === undefined) result[at] = result.pop();
  }
  return result.filter((server) => server !== undefined);
}
