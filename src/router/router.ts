import { type Client, Code, ConnectError } from '@connectrpc/connect';
import type { Bbs, RouteEntry, RoutingTableResponse } from '../contracts/gen/diego_pb.js';
import type { Ingress } from '../contracts/gen/loggregator_pb.js';
import { type Bus, SUBJECTS } from '../kit/bus.ts';
import { messageOf } from '../kit/errors.ts';
import { HaproxySocket } from '../kit/haproxy.ts';
import type { Logger } from '../kit/log.ts';
import { named, type Outcome, Reconciler, type Subjects } from '../kit/reconcile.ts';
import { inTurns } from '../kit/turns.ts';
import { AccessLogReader } from './access-log-reader.ts';
import { DesiredState } from './desired-state.ts';
import type { Fingerprints } from './fingerprints.ts';
import { type Convergence, HaproxyDriver } from './haproxy-driver.ts';
import { InstanceOwners } from './instance-owners.ts';
import { PersistedRoutes, readPersistedRoutes } from './persisted-routes.ts';
import { byProcess } from './process-routes.ts';
import { RefusalReport } from './refusal-report.ts';
import { EMPTY_ROUTE_TABLE, noChange, type RouteChange, type RouteTable, sameTable } from './route-table.ts';
import type { RouterSettings } from './settings.ts';
import { SlotsLeft } from './slots-left.ts';
import { type TableRequest, WholeTable } from './whole-table.ts';

export interface RouterOptions {
  settings: RouterSettings;
  bbs: Client<typeof Bbs>;
  ingress: Client<typeof Ingress>;
  bus: Bus;
  log: Logger;
  /** Which router this is, of several; cf shows it as RTR/0. */
  routerIndex?: string;
  /** How often all of the table is compared, and a part of what HAProxy has, whatever the events say. */
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
  /** Routes that ask for HTTP/2 while it is off. */
  servedAsHttp1: string[];
  accessLog: { queued: number; dropped: number; unreadable: number };
}

export interface Router {
  start(): Promise<void>;
  close(): Promise<void>;
  status(): RouterStatus;
}

const SOON_MS = 500;
/** A table of a hundred thousand routes is some ten megabytes. */
const DRIVER_ANSWERS = { timeoutMs: 60_000, mostBytes: 256 * 1_048_576 };
const NOTHING = named([]);
/** LRPs of which the BBS is asked at once: what comes of it is read in one go. */
const AT_ONCE = 500;

/**
 * Keeps HAProxy at the BBS's routing table. An event names LRPs: their entries are asked for, and HAProxy is told what changes with
 * them. A timer and an event without names have all fingerprints compared, which names the LRPs that differ. The timer has a part of
 * HAProxy's slots looked at; HAProxy's own reconnection and whatever fails have all of it. What is wanted is written down before HAProxy is
 * told. When the BBS cannot be asked, the routes stay (SECURITY-TESTS 34).
 */
export function createRouter(options: RouterOptions): Router {
  const { settings, bbs, bus, log } = options;
  const driver = new HaproxyDriver(
    settings,
    new HaproxySocket(settings.sockets.driver, DRIVER_ANSWERS),
    log.child('haproxy'),
    options.drainTimeoutMs,
  );
  const persisted = new PersistedRoutes(settings.stateDirectory);
  const owners = new InstanceOwners();
  const refusals = new RefusalReport(options.ingress, options.routerIndex ?? '0', log);
  /** What the files said at the start; null where they said nothing: then HAProxy keeps what it has until the BBS answers. */
  let before: RouteTable | null = null;
  /** Null until the BBS has answered. */
  let state: DesiredState | null = null;
  /** False where an update was left in its midst. */
  let isWhole = false;
  /** Of the state; null where Diego does not know of them. */
  let fingerprints: Fingerprints | null = null;
  const left = new SlotsLeft();
  let convergedAt: Date | null = null;
  let problem: string | null = null;
  let listening = false;
  let bbsAnswers = true;
  let unsubscribe: (() => void) | undefined;

  const pace = { everyMs: options.intervalMs ?? 30_000, soonMs: SOON_MS };
  const reconciler = new Reconciler('router', pace, reconcile, log);
  const comparison = new Reconciler('routing table', pace, compare, log);
  const accessLog = new AccessLogReader({
    socket: settings.sockets.driver,
    stateDirectory: settings.stateDirectory,
    routerIndex: options.routerIndex ?? '0',
    ingress: options.ingress,
    ownerOf: (guid) => owners.of(guid),
    onConnect: () => reconciler.wake(),
    log: log.child('access-log'),
  });

  async function reconcile(subjects: Subjects): Promise<Outcome> {
    try {
      const isKnown = await driver.isKnown().catch(() => false);
      // Without HAProxy what is wanted is still written down, for the one that starts next.
      const running = isKnown ? null : await driver.look().catch(() => null);
      const change = await refresh(subjects, isKnown || running !== null);
      if (!isKnown && !running) throw new Error('HAProxy does not answer');
      const convergence =
        isKnown && change !== 'all'
          ? await follow(change ?? noChange(), subjects)
          : await driver.converge(wanted(), running ?? (await driver.look()));
      if (convergence.added + convergence.removed > 0) log.info('routes changed', { ...convergence });
      convergedAt = new Date();
      if (problem !== null) log.info('the router is reconciled again');
      problem = null;
      if (change === null) return { failed: state ? subjects : { ...subjects, all: true } };
      return convergence.draining > 0 ? { soon: NOTHING } : 'done';
    } catch (error) {
      // What the state has by now may be told to nobody yet.
      driver.forget();
      const cause = messageOf(error);
      if (cause !== problem) log.warn('the router is not reconciled; it is tried again', { cause });
      problem = cause;
      return { soon: { ...subjects, all: true } };
    }
  }

  function wanted(): RouteTable {
    const table = state?.table ?? before;
    if (!table) throw new Error('the BBS has not answered yet');
    return table;
  }

  /** Tells HAProxy what changes; where all is to be looked at, a part of it is. */
  async function follow(change: RouteChange, subjects: Subjects): Promise<Convergence> {
    const changed = await driver.change(change);
    if (!subjects.all) return changed;
    const { added, removed, draining } = await driver.check();
    return { added: changed.added + added, removed: changed.removed + removed, draining };
  }

  /**
   * Takes over what the BBS has of these LRPs, and writes down what changes; 'all' where all is new, null where the BBS does not answer.
   * `looked`: which slots have servers is known.
   */
  async function refresh(subjects: Subjects, looked: boolean): Promise<RouteChange | 'all' | null> {
    if (!state || !isWhole || (subjects.all && !fingerprints)) return load(looked);
    if (subjects.all) {
      refusals.report(state.refused);
      if (!persisted.isShort) await persisted.replace(state.table);
    }
    if (subjects.names.size === 0) return noChange();
    const change = await update(state, subjects.names, looked);
    return change === undefined ? load(looked) : change;
  }

  /** The same of named LRPs; undefined where a Diego of before answers, which does not know of names. */
  async function update(known: DesiredState, subjects: ReadonlySet<string>, looked: boolean) {
    const processes = new Map<string, readonly RouteEntry[]>();
    const names = [...subjects];
    for (let at = 0; at < names.length; at += AT_ONCE) {
      const some = names.slice(at, at + AT_ONCE);
      const answer = await ask({ processGuids: some });
      if (!answer) return null;
      const told = byProcess(answer.entries);
      if ([...told.keys()].some((guid) => !subjects.has(guid))) return undefined;
      for (const guid of some) processes.set(guid, told.get(guid) ?? []);
    }
    isWhole = false;
    const { change, came, went, refusalsChanged } = await known.update(
      inTurns(processes),
      left.andOccupied(driver.occupied, looked),
    );
    left.note(change);
    if (fingerprints && !(await fingerprints.update(processes))) fingerprints = null;
    isWhole = true;
    if (refusalsChanged) refusals.report(known.refused);
    await owners.update(came, went, Date.now());
    await persisted.append(change, () => known.table);
    return change;
  }

  /** The same of all, made new. */
  async function load(looked: boolean): Promise<'all' | null> {
    const last = state?.table ?? before ?? EMPTY_ROUTE_TABLE;
    const { systemHosts, poolSize, http2Apps } = settings;
    const next = new DesiredState({ systemHosts, poolSize, http2Apps, previous: last.pools });
    const occupied = left.andOccupied(driver.occupied, looked);
    left.noteTable(last);
    const loaded = new WholeTable(ask, AT_ONCE);
    const { came } = await next.update(loaded, occupied);
    if (!loaded.isWhole) return null;
    refusals.report(next.refused);
    await owners.replace(came, Date.now());
    const { table } = next;
    if (!persisted.isShort || !(await sameTable(last, table))) await persisted.replace(table);
    state = next;
    fingerprints = loaded.fingerprints;
    isWhole = true;
    before = null;
    // Only now: a line that waited in HAProxy's ring needs to find its app.
    if (!listening) await accessLog.start();
    listening = true;
    return 'all';
  }

  /** Has the LRPs brought here that are otherwise at the BBS, as an event does: changes go on meanwhile, and wait for nothing. */
  async function compare(subjects: Subjects): Promise<Outcome> {
    if (!fingerprints) return 'done'; // all is asked for each time
    try {
      const names = await fingerprints.differing(bbs);
      answered();
      reconciler.wake(names);
      return 'done';
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.Unimplemented) {
        fingerprints = null;
        reconciler.wake();
        return 'done';
      }
      unanswered(error);
      reconciler.wake([]);
      return { failed: subjects };
    }
  }

  /** Of the routing table; null where the BBS does not answer. */
  async function ask(request: TableRequest): Promise<RoutingTableResponse | null> {
    try {
      const answer = await bbs.routingTable(request);
      answered();
      return answer;
    } catch (error) {
      unanswered(error);
      return null;
    }
  }

  function answered(): void {
    bbsAnswers = true;
  }

  function unanswered(error: unknown): void {
    if (bbsAnswers) log.warn('the BBS gave no routing table; the routes stay', { error: messageOf(error) });
    bbsAnswers = false;
  }

  return {
    async start() {
      const read = await readPersistedRoutes(settings.stateDirectory, settings.poolSize);
      if (read.problem) log.warn('the routes of before could not be read', { problem: read.problem });
      if (read.found) before = read.table;
      unsubscribe = bus.subscribe(SUBJECTS.diego, ({ processGuids }) => {
        const named = Array.isArray(processGuids) && processGuids.every((guid) => typeof guid === 'string');
        if (named && processGuids.length > 0) reconciler.wake(processGuids);
        if (named) return;
        comparison.wake();
        if (!fingerprints) reconciler.wake();
      });
      reconciler.start();
      comparison.start();
    },
    async close() {
      unsubscribe?.();
      await comparison.stop();
      await reconciler.stop();
      await Promise.all([accessLog.close(), refusals.close()]);
    },
    status: () => ({
      ...(state?.counts ?? countsOf(before ?? EMPTY_ROUTE_TABLE)),
      convergedAt,
      problem,
      bbsAnswers,
      refused: refusals.texts,
      servedAsHttp1: state?.servedAsHttp1 ?? [],
      accessLog: accessLog.status(),
    }),
  };
}

function countsOf({ pools, routes }: RouteTable): { routes: number; instances: number } {
  return { routes: routes.size, instances: pools.reduce((count, { servers }) => count + servers.length, 0) };
}
