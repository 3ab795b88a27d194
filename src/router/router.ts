import type { Client } from '@connectrpc/connect';
import type { Bbs } from '../contracts/gen/diego_pb.js';
import type { Ingress } from '../contracts/gen/loggregator_pb.js';
import { type Bus, SUBJECTS } from '../kit/bus.ts';
import { messageOf } from '../kit/errors.ts';
import { HaproxySocket } from '../kit/haproxy.ts';
import type { Logger } from '../kit/log.ts';
import { Reconciler } from '../kit/reconcile.ts';
import { AccessLogListener } from './access-log-listener.ts';
import { type DesiredState, desiredState, type InstanceOwner } from './desired-state.ts';
import { HaproxyDriver } from './haproxy-driver.ts';
import { persistRoutes, readPersistedRoutes } from './persisted-routes.ts';
import { EMPTY_ROUTE_TABLE, type RouteTable } from './route-table.ts';
import type { RouterSettings } from './settings.ts';

export interface RouterOptions {
  settings: RouterSettings;
  bbs: Client<typeof Bbs>;
  ingress: Client<typeof Ingress>;
  bus: Bus;
  log: Logger;
  /** A listening socket at `settings.logSocket`, inherited: HAProxy finds it at all times. Without it the router makes one. */
  accessLogDescriptor?: number;
  /** Which router this is, of several; cf shows it as RTR/0. */
  routerIndex?: string;
  /** How often the table is looked at without an event. */
  intervalMs?: number;
  /** How long a removed instance may finish its requests. */
  drainTimeoutMs?: number;
}

export interface RouterStatus {
  routes: number;
  instances: number;
  /** Null until HAProxy has been brought to the table once. */
  convergedAt: Date | null;
  /** Why the last round did not succeed. */
  problem: string | null;
  /** False while the routes are those of before. */
  bbsAnswers: boolean;
  /** Routes that are not served, with the reason. */
  refused: string[];
  accessLog: { queued: number; dropped: number; unreadable: number };
}

export interface Router {
  start(): Promise<void>;
  close(): Promise<void>;
  status(): RouterStatus;
}

const SOON_MS = 500;
/** A removed instance's last log lines come after it is gone from the table. */
const REMEMBER_MS = 600_000;

/**
 * Keeps HAProxy at the BBS's routing table: woken by events, by HAProxy's own reconnection and by a timer. What is wanted is
 * written down before HAProxy is told. When the BBS cannot be asked, the routes stay (SECURITY-TESTS 34).
 */
export function createRouter(options: RouterOptions): Router {
  const { settings, bbs, bus, log } = options;
  const driver = new HaproxyDriver(
    settings,
    new HaproxySocket(settings.sockets.driver),
    log.child('haproxy'),
    options.drainTimeoutMs,
  );
  const owners = new Map<string, InstanceOwner & { lastSeen: number }>();
  let table: RouteTable = EMPTY_ROUTE_TABLE;
  /** False as long as neither the BBS nor the file said what is wanted: then HAProxy keeps what it has. */
  let known = false;
  /** Slots HAProxy may have servers in, as far as is known. */
  let occupied = new Set<number>();
  let persisted = '';
  let refused: string[] = [];
  let convergedAt: Date | null = null;
  let problem: string | null = null;
  let listening = false;
  let bbsAnswers = true;
  let soon: NodeJS.Timeout | undefined;
  let unsubscribe: (() => void) | undefined;

  const reconciler = new Reconciler('router', options.intervalMs ?? 30_000, reconcile, log);
  const accessLog = new AccessLogListener({
    socket:
      options.accessLogDescriptor === undefined
        ? { path: settings.logSocket }
        : { descriptor: options.accessLogDescriptor },
    routerIndex: options.routerIndex ?? '0',
    ingress: options.ingress,
    ownerOf: (guid) => owners.get(guid),
    onConnect: () => reconciler.wake(),
    log: log.child('access-log'),
  });

  async function reconcile(): Promise<void> {
    clearTimeout(soon);
    try {
      // Without HAProxy the table is still written down, for the one that starts next.
      const running = await driver.running().catch(() => null);
      occupied = running
        ? HaproxyDriver.occupied(running)
        : new Set([...occupied, ...table.pools.map(({ slot }) => slot)]);
      await refresh();
      if (!running) return again('HAProxy does not answer');
      if (!known) return again('the BBS has not answered yet');
      const { draining, ...changes } = await driver.converge(table, running);
      if (changes.added > 0 || changes.removed > 0) log.info('routes changed', changes);
      convergedAt = new Date();
      if (problem !== null) log.info('the router is reconciled again');
      problem = null;
      if (draining > 0 || !bbsAnswers) again(null);
    } catch (error) {
      again(messageOf(error));
    }
  }

  /** Tries again soon; says a problem once. */
  function again(cause: string | null): void {
    if (cause !== null && cause !== problem) log.warn('the router is not reconciled; it is tried again', { cause });
    problem = cause;
    soon = setTimeout(() => reconciler.wake(), SOON_MS);
  }

  /** Takes the BBS's table over, if it answers, and writes it down. */
  async function refresh(): Promise<void> {
    let state: DesiredState;
    try {
      const { entries } = await bbs.routingTable({});
      state = desiredState(entries, {
        systemHosts: settings.systemHosts,
        poolSize: settings.poolSize,
        previous: table.pools,
        occupied,
      });
    } catch (error) {
      if (bbsAnswers) log.warn('the BBS gave no routing table; the routes stay', { error: messageOf(error) });
      bbsAnswers = false;
      return;
    }
    bbsAnswers = true;
    for (const entry of state.refused) if (!refused.includes(entry)) log.warn('not routed', { entry });
    refused = state.refused;
    remember(state.instances);
    const text = JSON.stringify([state.table.pools, [...state.table.routes]]);
    if (text !== persisted) await persistRoutes(settings.stateDirectory, state.table);
    persisted = text;
    table = state.table;
    known = true;
    // Only now: a line that waited in HAProxy's ring needs to find its app.
    if (!listening) await accessLog.start();
    listening = true;
  }

  function remember(instances: ReadonlyMap<string, InstanceOwner>): void {
    const now = Date.now();
    for (const [guid, instance] of instances) owners.set(guid, { ...instance, lastSeen: now });
    for (const [guid, { lastSeen }] of owners) if (now - lastSeen > REMEMBER_MS) owners.delete(guid);
  }

  return {
    async start() {
      const read = await readPersistedRoutes(settings.stateDirectory, settings.poolSize);
      if (read.problem) log.warn('the routes of before could not be read', { problem: read.problem });
      table = read.table;
      known = read.found;
      unsubscribe = bus.subscribe(SUBJECTS.diego, () => reconciler.wake());
      reconciler.start();
    },
    async close() {
      unsubscribe?.();
      await reconciler.stop();
      clearTimeout(soon);
      await accessLog.close();
    },
    status: () => ({
      routes: table.routes.size,
      instances: table.pools.reduce((count, pool) => count + pool.servers.length, 0),
      convergedAt,
      problem,
      bbsAnswers,
      refused,
      accessLog: accessLog.status(),
    }),
  };
}
