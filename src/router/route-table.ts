import { isIP } from 'node:net';

/** An instance as HAProxy's server: its name is the instance's GUID, and its certificate must carry it. */
export interface RouteServer {
  instanceGuid: string;
  /** Of the cell proxy. */
  address: string;
  port: number;
  http2: boolean;
  appGuid: string;
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
  routes: Map<string, number | null>;
}

export const EMPTY_ROUTE_TABLE: RouteTable = { pools: [], routes: new Map() };

const GUID = /^[A-Za-z0-9][A-Za-z0-9-]{0,99}$/;
const HOST = /^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/;
/** Segments of RFC 3986 section 3.3: nothing that could end a line or a word in HAProxy's map. */
const PATH = /^(\/[A-Za-z0-9._~!$&'()*+,:=@%-]+)*\/?$/;

export function isRouteServer(server: RouteServer): boolean {
  return (
    GUID.test(server.instanceGuid) &&
    GUID.test(server.appGuid) &&
    isIP(server.address) !== 0 &&
    Number.isInteger(server.port) &&
    server.port > 0 &&
    server.port < 65_536 &&
    Number.isInteger(server.index) &&
    server.index >= 0 &&
    typeof server.http2 === 'boolean'
  );
}

/** The map's key of a route: lower case, ending in "/", so that the longest prefix of a request's `host/path/` is its route. */
export function routeKey(host: string, path: string): string | null {
  const name = host.toLowerCase();
  if (name.length > 253 || !HOST.test(name) || path.length > 1024 || !PATH.test(path)) return null;
  return `${name}${path.toLowerCase().replace(/\/$/, '')}/`;
}

export function isRouteKey(key: string): boolean {
  const slash = key.indexOf('/');
  return slash > 0 && routeKey(key.slice(0, slash), key.slice(slash)) === key;
}

/** The key of X-CF-App-Instance's map; it names the pool, so that a route never leads to another's instance. */
export function instanceKey(backend: string, server: RouteServer): string {
  return `${backend}/${server.appGuid}:${server.index}`;
}
