import type { HaproxySocket, RunningServer } from '../kit/haproxy.ts';
import type { Logger } from '../kit/log.ts';
import { haproxyAddress, instanceEntries, routeEntries, serverKeywords } from './config.ts';
import type { RouteServer, RouteTable } from './route-table.ts';
import { backendName, instancesMapOf, type RouterSettings, routesMapOf } from './settings.ts';

const POOL_BACKEND = /^be-(\d+)$/;

export interface Convergence {
  added: number;
  removed: number;
  /** Servers that still finish requests; another round removes them. */
  draining: number;
}

/**
 * Brings a running HAProxy to a route table. It compares with what HAProxy says it has, so that it may be called again at
 * any time, after a restart of either side too.
 */
export class HaproxyDriver {
  readonly #settings: RouterSettings;
  readonly #socket: HaproxySocket;
  readonly #log: Logger;
  readonly #drainTimeoutMs: number;
  /** Since when a server is in maintenance, by backend/name. */
  readonly #drainingSince = new Map<string, number>();
  /** What the maps hold, and in which process: a new process is not trusted to hold them. */
  #maps = { process: '', routes: '', instances: '' };

  constructor(settings: RouterSettings, socket: HaproxySocket, log: Logger, drainTimeoutMs = 60_000) {
    this.#settings = settings;
    this.#socket = socket;
    this.#log = log;
    this.#drainTimeoutMs = drainTimeoutMs;
  }

  /** The servers of the pool as they run. */
  async running(): Promise<RunningServer[]> {
    return (await this.#socket.servers()).filter(({ backend }) => POOL_BACKEND.test(backend));
  }

  /** The slots that have servers. */
  static occupied(running: readonly RunningServer[]): Set<number> {
    return new Set(running.map(({ backend }) => Number(POOL_BACKEND.exec(backend)![1])));
  }

  /** New servers first, then the maps, then what is no longer wanted: a request finds a server at every moment. */
  async converge(table: RouteTable, running: readonly RunningServer[]): Promise<Convergence> {
    const found = new Map(running.map((server) => [`${server.backend}/${server.name}`, server]));
    const wanted = new Set<string>();
    let added = 0;
    for (const { slot, servers } of table.pools) {
      for (const server of servers) {
        const name = `${backendName(slot)}/${server.instanceGuid}`;
        wanted.add(name);
        this.#drainingSince.delete(name);
        const existing = found.get(name);
        if (!existing) {
          await this.#add(name, server);
          added += 1;
        } else {
          await this.#adjust(name, existing, server);
        }
      }
    }
    await this.#replaceMaps(table);
    let removed = 0;
    let draining = 0;
    for (const [name, server] of found) {
      if (wanted.has(name)) continue;
      if (await this.#remove(name, server)) removed += 1;
      else draining += 1;
    }
    return { added, removed, draining };
  }

  async #add(name: string, server: RouteServer): Promise<void> {
    const keywords = serverKeywords(this.#settings, server);
    await this.#socket.tell(
      `add server ${name} ${haproxyAddress(server)} ${keywords}; enable server ${name}`,
      /^New server registered\.$/,
    );
  }

  async #adjust(name: string, existing: RunningServer, server: RouteServer): Promise<void> {
    if (existing.address !== server.address || existing.port !== server.port) {
      await this.#socket.tell(
        `set server ${name} addr ${server.address} port ${server.port}`,
        /changed from .* by 'stats socket command'|no need to change/,
      );
    }
    if (existing.inMaintenance) await this.#socket.tell(`set server ${name} state ready`);
  }

  /** Takes it out of the rotation, and away when its last request has ended or its time is over. */
  async #remove(name: string, server: RunningServer): Promise<boolean> {
    const since = this.#drainingSince.get(name) ?? Date.now();
    this.#drainingSince.set(name, since);
    if (!server.inMaintenance) await this.#socket.tell(`set server ${name} state maint`);
    if (Date.now() - since > this.#drainTimeoutMs) await this.#socket.tell(`shutdown sessions server ${name}`);
    const answer = await this.#socket.ask(`del server ${name}`);
    if (!/deleted|No such server/i.test(answer)) return false;
    this.#drainingSince.delete(name);
    return true;
  }

  async #replaceMaps(table: RouteTable): Promise<void> {
    const process = await this.#socket.process();
    const entries = { routes: [...routeEntries(table)], instances: [...instanceEntries(table)] };
    const next = { process, routes: JSON.stringify(entries.routes), instances: JSON.stringify(entries.instances) };
    const last = this.#maps.process === process ? this.#maps : { routes: '', instances: '' };
    // Unknown until both are through: a failure between the two has them written again.
    this.#maps = { process: '', routes: '', instances: '' };
    if (next.instances !== last.instances)
      await this.#socket.replaceMap(instancesMapOf(this.#settings), entries.instances);
    if (next.routes !== last.routes) await this.#socket.replaceMap(routesMapOf(this.#settings), entries.routes);
    this.#maps = next;
    if (last.routes === '') this.#log.info('the router has its routes', { process, routes: entries.routes.length });
  }
}
