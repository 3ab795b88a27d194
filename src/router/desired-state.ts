import type { Owner, RouteEntry } from '../contracts/gen/diego_pb.js';
import { inTurns } from '../kit/turns.ts';
import {
  type Destination,
  IDLE_DESTINATION,
  type InstanceOwner,
  mergedRefusals,
  type ProcessRoutes,
  processRoutes,
  type Refusal,
  type RouteRules,
} from './process-routes.ts';
import {
  arranged,
  noChange,
  type RouteChange,
  type RoutePool,
  type RouteServer,
  type RouteTable,
  sameServers,
} from './route-table.ts';

export interface DesiredStateOptions {
  systemHosts: readonly string[];
  http2Apps: boolean;
  poolSize: number;
  /** The pools of the table before; a key keeps its slot, and its instances their order. */
  previous: readonly RoutePool[];
}

/** Slots in which HAProxy still has servers: nobody else may have them until they are empty. */
export type Occupied = { has(slot: number): boolean };

/** LRPs with their entries, in one piece or as they come. */
export type Processes =
  | Iterable<readonly [string, readonly RouteEntry[]]>
  | AsyncIterable<readonly [string, readonly RouteEntry[]]>;

/** What an update did. */
export interface Update {
  change: RouteChange;
  /** Instances of the LRPs that were updated. */
  came: Map<string, InstanceOwner>;
  went: string[];
  refusalsChanged: boolean;
}

/** A route as all that have it make it. */
interface Route {
  /** The processes and ports behind it: what may share a pool. */
  group: string;
  /** By guid. */
  servers: RouteServer[];
  owners: Owner[];
}

interface Pool {
  key: string;
  /** Null where the pool of backends is used up. */
  slot: number | null;
  servers: RouteServer[];
  /** In order. None: of the table before, and not wanted yet. */
  routes: string[];
}

const NOTHING: ProcessRoutes = { routes: new Map(), instances: new Map(), refused: [], servedAsHttp1: [] };
/** Where no instance runs. */
const WITHOUT_INSTANCES: Route = { group: '', servers: [], owners: [] };

/**
 * What is kept of an LRP. Most of a large foundation's routes have no instance: of an LRP that has none and is refused nothing, the
 * routes alone, one as it stands.
 */
type Kept = ProcessRoutes | readonly string[] | string;

/**
 * What the router is to serve, kept by LRP: an update costs what the LRPs in it have, not what all have, and a long one lets others have
 * their turns. A route is one entry of the map, whoever maps to it; several apps on one route share its pool, and routes with the same destinations share one pool.
 * A state that was brought here by updates is the one that a new state with the same `previous` makes of all entries at once.
 */
export class DesiredState {
  readonly #poolSize: number;
  readonly #rules: RouteRules;
  readonly #processes = new Map<string, Kept>();
  /** Of each route, the LRPs that have it; one as it stands. */
  readonly #mappers = new Map<string, Set<string> | string>();
  readonly #routes = new Map<string, Route>();
  /** Of each group, its routes with instances, and its pools. */
  readonly #groups = new Map<string, { routes: Set<string>; pools: Set<string> }>();
  readonly #pools = new Map<string, Pool>();
  readonly #bySlot = new Map<number, Pool>();
  readonly #waiting = new Set<Pool>();
  readonly #served = new Map<string, number | null>();
  readonly #refusing = new Map<string, readonly Refusal[]>();
  readonly #servedAsHttp1 = new Map<string, readonly string[]>();
  /** Pools of the table before, until the first update has said which of them are wanted. */
  #inherited: readonly string[];

  constructor(options: DesiredStateOptions) {
    this.#poolSize = options.poolSize;
    this.#rules = {
      reserved: new Set(options.systemHosts.map((host) => host.toLowerCase())),
      http2Apps: options.http2Apps,
    };
    for (const { key, slot, servers } of options.previous) {
      const pool = { key, slot, servers, routes: [] };
      this.#pools.set(key, pool);
      this.#bySlot.set(slot, pool);
    }
    this.#inherited = [...this.#pools.keys()];
  }

  /**
   * Takes over what the BBS has of these LRPs: all their entries, none for one that has no routes or is gone. Not to be called again
   * before it ends; where it throws, what `processes` threw too, the state is of no use any more.
   */
  async update(processes: Processes, occupied: Occupied): Promise<Update> {
    const step = new Step();
    for await (const [guid, entries] of processes) this.#take(guid, processRoutes(entries, this.#rules), step);
    for await (const route of inTurns(step.routes)) this.#merge(route, step);
    for await (const group of inTurns(step.groups)) this.#share(group, step);
    for await (const key of inTurns(this.#inherited)) {
      const pool = this.#pools.get(key);
      if (pool?.routes.length === 0) this.#drop(pool, step);
    }
    this.#inherited = [];
    this.#assign(occupied, step);
    for await (const pool of inTurns(step.pools)) {
      if (pool.slot === null) step.update.refusalsChanged = true;
      for (const route of pool.routes) this.#serve(route, pool.slot, step);
    }
    return step.update;
  }

  get counts(): { routes: number; instances: number } {
    let instances = 0;
    for (const { servers } of this.#bySlot.values()) instances += servers.length;
    return { routes: this.#served.size, instances };
  }

  /** All of it, in no order; the next update changes the routes in it. */
  get table(): RouteTable {
    return {
      pools: [...this.#bySlot].map(([slot, { key, servers }]) => ({ slot, key, servers })),
      routes: this.#served,
    };
  }

  get refused(): Refusal[] {
    const withoutSlot = [...this.#waiting].flatMap(({ routes }) =>
      routes.map((route) => ({
        text: `${route} has no backend: the pool of ${this.#poolSize} is used up`,
        owners: this.#routes.get(route)?.owners ?? [],
      })),
    );
    return mergedRefusals([...[...this.#refusing.values()].flat(), ...withoutSlot]);
  }

  /** Routes that ask for HTTP/2 where it is off, with their apps. */
  get servedAsHttp1(): string[] {
    return [...new Set([...this.#servedAsHttp1.values()].flat())].sort();
  }

  #take(guid: string, next: ProcessRoutes, step: Step): void {
    const last = unpacked(this.#processes.get(guid));
    for (const [route, destinations] of next.routes) {
      if (!sameDestinations(last.routes.get(route), destinations)) step.routes.add(route);
      const mappers = this.#mappers.get(route);
      if (mappers === undefined) this.#mappers.set(route, guid);
      else if (typeof mappers !== 'string') mappers.add(guid);
      else if (mappers !== guid) this.#mappers.set(route, new Set([mappers, guid]));
    }
    for (const route of last.routes.keys()) {
      if (next.routes.has(route)) continue;
      step.routes.add(route);
      const mappers = this.#mappers.get(route);
      if (mappers === guid || (mappers instanceof Set && mappers.delete(guid) && mappers.size === 0))
        this.#mappers.delete(route);
    }
    for (const [instance, owner] of next.instances) step.update.came.set(instance, owner);
    for (const instance of last.instances.keys()) if (!next.instances.has(instance)) step.update.went.push(instance);
    if (last.refused.length + next.refused.length > 0) step.update.refusalsChanged = true;
    keep(this.#processes, guid, packed(next), next.routes.size + next.refused.length > 0);
    keep(this.#refusing, guid, next.refused, next.refused.length > 0);
    keep(this.#servedAsHttp1, guid, next.servedAsHttp1, next.servedAsHttp1.length > 0);
  }

  /** Makes a route of what its LRPs have of it. */
  #merge(route: string, step: Step): void {
    const last = this.#routes.get(route);
    if (last && last.servers.length > 0) {
      this.#groups.get(last.group)?.routes.delete(route);
      step.groups.add(last.group);
    }
    const mappers = this.#mappers.get(route) ?? [];
    const guids = typeof mappers === 'string' ? [mappers] : [...mappers].sort();
    const destinations = guids.flatMap((guid) => destinationsOf(this.#processes.get(guid), route));
    if (destinations.length === 0) {
      this.#routes.delete(route);
      this.#serve(route, undefined, step);
      return;
    }
    const next = mergedRoute(destinations);
    this.#routes.set(route, next);
    if (next.servers.length === 0) {
      this.#serve(route, null, step);
      return;
    }
    const group = this.#groups.get(next.group) ?? { routes: new Set(), pools: new Set() };
    this.#groups.set(next.group, group);
    group.routes.add(route);
    step.groups.add(next.group);
  }

  /** Gives the routes of a group their pools. */
  #share(key: string, step: Step): void {
    const group = this.#groups.get(key);
    if (!group) return;
    const wanted = new Map<string, { servers: RouteServer[]; routes: string[] }>();
    for (const route of [...group.routes].sort()) {
      const { servers } = this.#routes.get(route)!;
      const shared = wanted.get(key);
      // During a deployment two routes of a process may have different instances for a moment: then they do not share.
      if (!shared) wanted.set(key, { servers, routes: [route] });
      else if (sameServers(shared.servers, servers)) shared.routes.push(route);
      else wanted.set(`${key}@${route}`, { servers, routes: [route] });
    }
    for (const last of group.pools) if (!wanted.has(last)) this.#drop(this.#pools.get(last)!, step);
    group.pools = new Set(wanted.keys());
    if (wanted.size === 0) this.#groups.delete(key);
    for (const [poolKey, { servers, routes }] of wanted) {
      const pool: Pool = this.#pools.get(poolKey) ?? { key: poolKey, slot: null, servers: [], routes: [] };
      this.#pools.set(poolKey, pool);
      step.pools.add(pool);
      pool.routes = routes;
      const next = pool.slot === null ? servers : arranged(pool.servers, servers);
      if (pool.slot === null) this.#waiting.add(pool);
      else if (!sameServers(next, pool.servers)) step.filled(pool.slot, poolKey, next);
      pool.servers = next;
    }
  }

  #drop(pool: Pool, step: Step): void {
    this.#pools.delete(pool.key);
    if (this.#waiting.delete(pool)) step.update.refusalsChanged = true;
    if (pool.slot === null) return;
    this.#bySlot.delete(pool.slot);
    step.emptied(pool.slot);
  }

  /** Free slots go to those that have none, in the order of their routes. A slot that was left just now is not free yet. */
  #assign(occupied: Occupied, step: Step): void {
    if (this.#waiting.size === 0) return;
    const free: number[] = [];
    for (let slot = 0; slot < this.#poolSize && free.length < this.#waiting.size; slot += 1) {
      if (!this.#bySlot.has(slot) && !step.left.has(slot) && !occupied.has(slot)) free.push(slot);
    }
    if (free.length === 0) return;
    const waiting = [...this.#waiting].sort((a, b) => (a.routes[0]! < b.routes[0]! ? -1 : 1));
    for (const [at, slot] of free.entries()) {
      const pool = waiting[at]!;
      this.#waiting.delete(pool);
      this.#bySlot.set(slot, pool);
      pool.slot = slot;
      step.filled(slot, pool.key, pool.servers);
      // Whoever waited since before was refused until now.
      if (!step.pools.has(pool)) step.update.refusalsChanged = true;
      step.pools.add(pool);
    }
  }

  #serve(route: string, value: number | null | undefined, step: Step): void {
    if (this.#served.get(route) === value) return;
    if (value === undefined) this.#served.delete(route);
    else this.#served.set(route, value);
    step.update.change.routes.set(route, value);
  }
}

/** What one update touches, from LRPs to routes to groups to pools. */
class Step {
  readonly routes = new Set<string>();
  readonly groups = new Set<string>();
  readonly pools = new Set<Pool>();
  readonly left = new Set<number>();
  readonly update: Update = { change: noChange(), came: new Map(), went: [], refusalsChanged: false };

  filled(slot: number, key: string, servers: RouteServer[]): void {
    this.update.change.pools.set(slot, { slot, key, servers });
  }

  emptied(slot: number): void {
    this.left.add(slot);
    this.update.change.pools.set(slot, null);
  }
}

function keep<Value>(map: Map<string, Value>, key: string, value: Value, isWorth: boolean): void {
  if (isWorth) map.set(key, value);
  else map.delete(key);
}

function packed(process: ProcessRoutes): Kept {
  const { routes, instances, refused } = process;
  if (instances.size + refused.length > 0 || routes.size === 0) return process;
  const [first = '', ...others] = routes.keys();
  return others.length === 0 ? first : [first, ...others];
}

function unpacked(kept: Kept | undefined): ProcessRoutes {
  if (kept === undefined) return NOTHING;
  if (typeof kept !== 'string' && 'routes' in kept) return kept;
  const keys = typeof kept === 'string' ? [kept] : kept;
  return { ...NOTHING, routes: new Map(keys.map((key) => [key, [IDLE_DESTINATION]])) };
}

/** Of a route that it has. */
function destinationsOf(kept: Kept | undefined, route: string): readonly Destination[] {
  if (kept === undefined) return [];
  return typeof kept !== 'string' && 'routes' in kept ? (kept.routes.get(route) ?? []) : [IDLE_DESTINATION];
}

/** What is behind a route is who has instances: the others come to it with their first one. */
function mergedRoute(all: readonly Destination[]): Route {
  const destinations = all.filter(({ servers }) => servers.length > 0);
  const [first] = destinations;
  if (!first) return WITHOUT_INSTANCES;
  // Most routes, and all of them where everything is compared.
  if (destinations.length === 1 && first.servers.length < 2)
    return { group: first.key, servers: first.servers, owners: [first.owner] };
  const servers = new Map(destinations.flatMap((each) => each.servers.map((server) => [server.instanceGuid, server])));
  return {
    group: [...new Set(destinations.map(({ key }) => key))].sort().join(','),
    servers: [...servers.values()].sort((a, b) => (a.instanceGuid < b.instanceGuid ? -1 : 1)),
    owners: destinations.map(({ owner }) => owner),
  };
}

function sameDestinations(some: readonly Destination[] | undefined, others: readonly Destination[]): boolean {
  return (
    some?.length === others.length &&
    some.every(({ key, owner, servers }, at) => {
      const other = others[at]!;
      return key === other.key && sameOwner(owner, other.owner) && sameServers(servers, other.servers);
    })
  );
}

function sameOwner(one: Owner, other: Owner): boolean {
  return (['appGuid', 'appName', 'spaceName', 'organizationName'] as const).every((name) => one[name] === other[name]);
}
