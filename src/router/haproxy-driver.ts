import type { HaproxySocket, RunningServer } from '../kit/haproxy.ts';
import type { Logger } from '../kit/log.ts';
import { inTurns } from '../kit/turns.ts';
import { haproxyAddress, instanceEntries, poolEntries, routeEntries, serverKeywords } from './config.ts';
import { noChange, type RouteChange, type RouteServer, type RouteTable } from './route-table.ts';
import {
  backendName,
  instancesMapOf,
  NO_ENDPOINTS,
  REPEAT_SERVER,
  type RouterSettings,
  routesMapOf,
} from './settings.ts';

const POOL_BACKEND = /^be-(\d+)\//;
/** A map of which more entries change is replaced: HAProxy 2.6 takes about as long for this as for so many single changes. */
const MOST_SINGLY = 50;
/** So many checks see every slot once. */
const CHECKS = 20;

type PoolServer = Pick<RunningServer, 'address' | 'port' | 'inMaintenance'>;

/** A HAProxy and the servers of its pool, by backend/name. */
export interface Running {
  process: string;
  servers: Map<string, PoolServer>;
  /** Its front names the instance: one that a version before started (HAProxy 2.6) has it balance among them. */
  direct: boolean;
}

export interface Convergence {
  added: number;
  removed: number;
  /** Servers that still finish requests; another round removes them. */
  draining: number;
}

/** What a HAProxy was brought to. */
interface Held extends Running {
  pools: Map<number, readonly RouteServer[]>;
  routes: Map<string, string>;
  instances: Map<string, string>;
}

/**
 * Brings a running HAProxy to what is wanted: by comparing all of it with what HAProxy says it has, which may be done at any time, after
 * a restart of either side too; or, in the same process since and as long as nothing failed, by what changes alone. Then each `check`
 * looks at some of the slots. Where there is much of something others have their turns.
 */
export class HaproxyDriver {
  readonly #settings: RouterSettings;
  readonly #socket: HaproxySocket;
  readonly #log: Logger;
  readonly #drainTimeoutMs: number;
  /** Since when a server is in maintenance, by backend/name. */
  readonly #drainingSince = new Map<string, number>();
  /** How many servers each slot has, as far as is known. */
  readonly #occupied = new Map<number, number>();
  /** Null as long as a change may be half made. */
  #held: Held | null = null;
  /** The first slot of the next check. */
  #unchecked = 0;

  constructor(settings: RouterSettings, socket: HaproxySocket, log: Logger, drainTimeoutMs = 60_000) {
    this.#settings = settings;
    this.#socket = socket;
    this.#log = log;
    this.#drainTimeoutMs = drainTimeoutMs;
  }

  /** The slots that have servers, as of the last look and what was done since. */
  get occupied(): ReadonlyMap<number, number> {
    return this.#occupied;
  }

  /** Asks for everything. */
  async look(): Promise<Running> {
    const process = await this.#socket.process();
    const { servers, direct } = await this.#serversOf(0, this.#settings.poolSize);
    this.#occupied.clear();
    for (const name of servers.keys()) this.#count(name, 1);
    for (const name of this.#drainingSince.keys()) if (!servers.has(name)) this.#drainingSince.delete(name);
    return { process, servers, direct };
  }

  /** Whether `change` may be called: the HAProxy that answers is the one that was brought to what is known. */
  async isKnown(): Promise<boolean> {
    return this.#held !== null && (await this.#socket.process()) === this.#held.process;
  }

  /** Has all of HAProxy compared the next time: what is wanted is not what it was told. */
  forget(): void {
    this.#held = null;
  }

  /**
   * New servers first, then the maps, then what is no longer wanted: a request finds a server at every moment. Where a slot has servers of
   * somebody else alone, nothing leads there, and they are out of the rotation, before it gets its own.
   */
  async converge(table: RouteTable, running: Running): Promise<Convergence> {
    const last = this.#held;
    this.#held = null;
    // A new process is not trusted to hold them, nor is one to which something could not be told.
    const before = last?.process === running.process ? last : null;
    const wanted = new Set<string>();
    let added = 0;
    if (!before) await this.#clear(table, running, last);
    for await (const { slot, servers } of inTurns(table.pools)) {
      for (const server of servers) {
        const name = `${backendName(slot)}/${server.instanceGuid}`;
        wanted.add(name);
        if (await this.#ensure(running, name, server)) added += 1;
      }
    }
    const [instances, sameInstances] = await collected(instanceEntries(table), before?.instances);
    if (!sameInstances) await this.#socket.replaceMap(instancesMapOf(this.#settings), instances);
    const [routes, sameRoutes] = await collected(routeEntries(table), before?.routes);
    if (!sameRoutes) await this.#socket.replaceMap(routesMapOf(this.#settings), routes);
    if (!before) this.#log.info('the router has its routes', { process: running.process, routes: routes.size });
    const unwanted = [...running.servers.keys()].filter((name) => !wanted.has(name));
    const { removed, draining } = await this.#remove(running, unwanted);
    const pools = new Map(table.pools.map(({ slot, servers }) => [slot, servers]));
    this.#held = { ...running, pools, routes, instances };
    return { added, removed, draining };
  }

  /** Takes the servers out of slots that others are to have, as far as it is known whose they are. */
  async #clear(table: RouteTable, { servers }: Running, last: Held | null): Promise<void> {
    const present = Map.groupBy(servers.keys(), slotOf);
    const taken = new Set<number>();
    for await (const { slot, servers: own } of inTurns(table.pools)) {
      const names = new Set(own.map(({ instanceGuid }) => `${backendName(slot)}/${instanceGuid}`));
      const apps = new Set(own.map(({ appGuid }) => appGuid));
      for (const { appGuid, instanceGuid } of last?.pools.get(slot) ?? [])
        if (apps.has(appGuid)) names.add(`${backendName(slot)}/${instanceGuid}`);
      const there = present.get(slot) ?? [];
      if (there.length > 0 && own.length > 0 && !there.some((name) => names.has(name))) taken.add(slot);
    }
    if (taken.size === 0) return;
    const routes = new Map<string, string>();
    for await (const [key, slot] of inTurns(table.routes))
      routes.set(key, slot === null || taken.has(slot) ? NO_ENDPOINTS : backendName(slot));
    await this.#socket.replaceMap(routesMapOf(this.#settings), routes);
    for (const slot of taken) {
      for (const name of present.get(slot) ?? []) {
        const server = servers.get(name)!;
        if (!server.inMaintenance) await this.#socket.tell(`set server ${name} state maint`);
        server.inMaintenance = true;
      }
    }
  }

  /** In the same order, by what changes; and looks after those that drain. Only where `isKnown` has just said so. */
  async change(change: RouteChange = noChange()): Promise<Convergence> {
    const held = this.#held;
    if (!held) throw new Error('nothing is known of this HAProxy');
    this.#held = null;
    const unwanted = new Set(this.#drainingSince.keys());
    const entries = new Map<string, string>();
    const gone = new Map<string, null>();
    let added = 0;
    for await (const [slot, pool] of inTurns(change.pools)) {
      const servers = pool?.servers ?? [];
      const last = held.pools.get(slot) ?? [];
      for (const server of last) unwanted.add(`${backendName(slot)}/${server.instanceGuid}`);
      for (const server of servers) {
        const name = `${backendName(slot)}/${server.instanceGuid}`;
        unwanted.delete(name);
        if (await this.#ensure(held, name, server)) added += 1;
      }
      const next = poolEntries(slot, servers);
      for (const [key, value] of next) entries.set(key, value);
      for (const key of poolEntries(slot, last).keys()) if (!next.has(key)) gone.set(key, null);
      if (pool) held.pools.set(slot, servers);
      else held.pools.delete(slot);
    }
    const instancesMap = instancesMapOf(this.#settings);
    await this.#changeMap(instancesMap, held.instances, entries);
    await this.#changeMap(routesMapOf(this.#settings), held.routes, valuesOf(change));
    await this.#changeMap(instancesMap, held.instances, gone);
    const { removed, draining } = await this.#remove(held, unwanted);
    this.#held = held;
    return { added, removed, draining };
  }

  /**
   * Asks what the next slots have, and mends what is not as it was left, whoever changed it: of all slots another part each time. Only
   * where `isKnown` has just said so.
   */
  async check(): Promise<Convergence> {
    const held = this.#held;
    if (!held) throw new Error('nothing is known of this HAProxy');
    this.#held = null;
    const { poolSize } = this.#settings;
    const first = this.#unchecked < poolSize ? this.#unchecked : 0;
    const end = Math.min(poolSize, first + Math.ceil(poolSize / CHECKS));
    const { servers: found } = await this.#serversOf(first, end);
    const unwanted = new Set(found.keys());
    let mended = 0;
    let added = 0;
    for (let slot = first; slot < end; slot += 1) {
      for (const server of held.pools.get(slot) ?? []) {
        const name = `${backendName(slot)}/${server.instanceGuid}`;
        unwanted.delete(name);
        const there = found.get(name);
        this.#believe(held, name, there);
        if (!there || there.inMaintenance || !isAt(there, server)) mended += 1;
        if (await this.#ensure(held, name, server)) added += 1;
      }
    }
    for (const name of this.#drainingSince.keys()) {
      const slot = slotOf(name);
      if (slot < first || slot >= end || found.has(name)) continue;
      this.#believe(held, name, undefined);
      this.#drainingSince.delete(name);
    }
    for (const name of unwanted) {
      if (!this.#drainingSince.has(name)) mended += 1;
      this.#believe(held, name, found.get(name));
    }
    const { removed, draining } = await this.#remove(held, unwanted);
    if (mended > 0) this.#log.warn('servers were not as they were left; they are again', { servers: mended });
    this.#unchecked = end;
    this.#held = held;
    return { added, removed, draining };
  }

  /** The servers of slots. */
  async #serversOf(first: number, end: number): Promise<Pick<Running, 'servers' | 'direct'>> {
    const backends = Array.from({ length: end - first }, (_, at) => backendName(first + at));
    const servers: Running['servers'] = new Map();
    let direct = false;
    for (const server of await this.#socket.servers(backends)) {
      if (server.name === REPEAT_SERVER) direct = true;
      else servers.set(`${server.backend}/${server.name}`, server);
    }
    return { servers, direct };
  }

  /** What is there, whatever was known. */
  #believe({ servers }: Running, name: string, there: PoolServer | undefined): void {
    if (servers.has(name) !== (there !== undefined)) this.#count(name, there ? 1 : -1);
    if (there) servers.set(name, there);
    else servers.delete(name);
  }

  /** True where it was not there. */
  async #ensure({ servers, direct }: Running, name: string, server: RouteServer): Promise<boolean> {
    const { address, port } = server;
    const existing = servers.get(name);
    this.#drainingSince.delete(name);
    servers.set(name, { address, port, inMaintenance: false });
    if (existing) {
      await this.#adjust(name, existing, server);
      return false;
    }
    await this.#socket.tell(
      `add server ${name} ${haproxyAddress(server)} ${serverKeywords(this.#settings, server, direct)}; enable server ${name}`,
      /^New server registered\.$/,
    );
    this.#count(name, 1);
    return true;
  }

  async #adjust(name: string, existing: PoolServer, server: RouteServer): Promise<void> {
    if (!isAt(existing, server)) {
      await this.#socket.tell(
        `set server ${name} addr ${server.address} port ${server.port}`,
        /changed from .* by 'stats socket command'|no need to change/,
      );
    }
    if (existing.inMaintenance) await this.#socket.tell(`set server ${name} state ready`);
  }

  /** Takes them out of the rotation, and away when their last request has ended or their time is over. */
  async #remove({ servers }: Running, names: Iterable<string>): Promise<{ removed: number; draining: number }> {
    let removed = 0;
    for (const name of names) {
      const server = servers.get(name);
      if (server && !(await this.#isRemoved(name, server))) continue;
      if (server) removed += 1;
      servers.delete(name);
      this.#drainingSince.delete(name);
      if (server) this.#count(name, -1);
    }
    return { removed, draining: this.#drainingSince.size };
  }

  async #isRemoved(name: string, server: PoolServer): Promise<boolean> {
    const since = this.#drainingSince.get(name) ?? Date.now();
    this.#drainingSince.set(name, since);
    if (!server.inMaintenance) await this.#socket.tell(`set server ${name} state maint`);
    server.inMaintenance = true;
    if (Date.now() - since > this.#drainTimeoutMs) await this.#socket.tell(`shutdown sessions server ${name}`);
    return /deleted|No such server/i.test(await this.#socket.ask(`del server ${name}`));
  }

  /** `held` follows; what has the value already is not told. */
  async #changeMap(
    path: string,
    held: Map<string, string>,
    wanted: Iterable<readonly [string, string | null]>,
  ): Promise<void> {
    const added: [string, string][] = [];
    const changed: [string, string | null][] = [];
    for await (const [key, value] of inTurns(wanted)) {
      const last = held.get(key) ?? null;
      if (last === value) continue;
      if (last !== null) changed.push([key, value]);
      else if (value !== null) added.push([key, value]);
      if (value === null) held.delete(key);
      else held.set(key, value);
    }
    if (changed.length > MOST_SINGLY) return this.#socket.replaceMap(path, held);
    if (added.length > 0) await this.#socket.addToMap(path, added);
    if (changed.length > 0) await this.#socket.changeInMap(path, changed);
  }

  #count(name: string, by: 1 | -1): void {
    const slot = slotOf(name);
    const count = (this.#occupied.get(slot) ?? 0) + by;
    if (count > 0) this.#occupied.set(slot, count);
    else this.#occupied.delete(slot);
  }
}

function slotOf(name: string): number {
  return Number(POOL_BACKEND.exec(name)![1]);
}

function isAt(one: PoolServer, { address, port }: RouteServer): boolean {
  return one.address === address && one.port === port;
}

/** What the map of routes is to say of those that change. */
function* valuesOf({ routes }: RouteChange): Generator<[string, string | null]> {
  for (const [key, slot] of routes)
    yield [key, slot === undefined ? null : slot === null ? NO_ENDPOINTS : backendName(slot)];
}

/** The entries, and whether they are those of before. */
async function collected(
  entries: Iterable<[string, string]>,
  before: ReadonlyMap<string, string> | undefined,
): Promise<[Map<string, string>, boolean]> {
  const all = new Map<string, string>();
  let same = before !== undefined;
  for await (const [key, value] of inTurns(entries)) {
    all.set(key, value);
    same &&= before?.get(key) === value;
  }
  return [all, same && before?.size === all.size];
}
