import type { Client } from '@connectrpc/connect';
import type { CloudControllerInternal } from '../contracts/gen/cloud-controller_pb.js';
import type { CellPresence } from '../contracts/gen/diego_pb.js';
import type { Bus } from '../kit/bus.ts';
import type { Sealer } from '../kit/crypto.ts';
import { migrate } from '../kit/database.ts';
import { messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import { Reconciler } from '../kit/reconcile.ts';
import { Notices } from './actual-lrps/notices.ts';
import { ActualLrpStore } from './actual-lrps/store.ts';
import { Auctioneer } from './auction/auctioneer.ts';
import { AuctionStore } from './auction/store.ts';
import { CellStore } from './cells/store.ts';
import { Changes } from './changes.ts';
import { Converger } from './convergence/converger.ts';
import { ConvergenceStore } from './convergence/store.ts';
import { DesiredLrpStore } from './desired-lrps/store.ts';
import { EvacuationStore } from './evacuation/store.ts';
import { Leadership } from './leadership.ts';
import { type RepClient, Reps } from './reps.ts';
import { type BbsDatabase, MIGRATIONS } from './schema.ts';
import { Definitions } from './sealing.ts';
import { DEFAULT_SETTINGS, type DiegoSettings } from './settings.ts';
import { Completions } from './tasks/completions.ts';
import { TaskStore } from './tasks/store.ts';

export interface DiegoOptions {
  /** The schema `bbs`, opened with the room's own role. */
  db: BbsDatabase;
  sealer: Sealer;
  bus: Bus;
  log: Logger;
  /** Milliseconds since 1970. */
  clock?: () => number;
  /** How to reach a cell's rep. Called once a cell and address. */
  rep: (presence: CellPresence) => RepClient;
  cloudController: Client<typeof CloudControllerInternal>;
  settings?: Partial<DiegoSettings>;
}

/**
 * The BBS and the brain. Any number may serve on one database; auctions and convergence run in the one that leads
 * (DGO-01), and a hint on the bus wakes it for what another one wrote.
 */
export class Diego {
  readonly db: BbsDatabase;
  readonly log: Logger;
  readonly clock: () => number;
  readonly settings: DiegoSettings;
  readonly desiredLrps: DesiredLrpStore;
  readonly actualLrps: ActualLrpStore;
  readonly evacuation: EvacuationStore;
  readonly tasks: TaskStore;
  readonly cells: CellStore;
  readonly reps: Reps;
  readonly changes: Changes;
  readonly notices: Notices;
  readonly auctioneer: Auctioneer;
  readonly converger: Converger;
  readonly #leadership: Leadership;
  readonly #reconcilers: {
    auction: Reconciler;
    sweep: Reconciler;
    converge: Reconciler;
    completions: Reconciler;
    notices: Reconciler;
  };
  readonly #background = new Set<Promise<void>>();
  #unsubscribe: () => void = () => {};

  constructor(options: DiegoOptions) {
    const { db, log } = options;
    const clock = options.clock ?? Date.now;
    const settings = { ...DEFAULT_SETTINGS, ...options.settings };
    const definitions = new Definitions(options.sealer);
    this.db = db;
    this.log = log;
    this.clock = clock;
    this.settings = settings;
    this.desiredLrps = new DesiredLrpStore(db, definitions);
    this.evacuation = new EvacuationStore(db);
    this.actualLrps = new ActualLrpStore(db, this.evacuation);
    this.tasks = new TaskStore(db, definitions);
    this.cells = new CellStore(db, settings.cellLostAfterMs);
    this.reps = new Reps(options.rep);
    this.changes = new Changes(options.bus);
    this.notices = new Notices({
      db,
      cloudController: options.cloudController,
      patienceMs: settings.noticePatienceMs,
      clock,
      log,
    });
    const { desiredLrps, tasks, cells, reps, changes } = this;
    const shared = { cells, reps, changes, settings, clock };
    this.auctioneer = new Auctioneer({
      ...shared,
      store: new AuctionStore(db),
      desiredLrps,
      tasks,
      log: log.child('auctioneer'),
    });
    this.converger = new Converger({
      ...shared,
      store: new ConvergenceStore(db),
      evacuation: this.evacuation,
      log: log.child('converger'),
      wakeAuction: () => this.wakeAuction(),
      wakeCompletions: () => this.wakeCompletions(),
      wakeNotices: () => this.wakeNotices(),
    });
    this.#leadership = new Leadership(db, 'diego.brain', log);
    const completions = new Completions(tasks, options.cloudController, clock, log);
    const leading = (body: () => Promise<unknown>) => async (): Promise<void> => {
      if (await this.#leads()) await body();
    };
    // Whoever sweeps sees what is due; another looks where nobody does.
    const delivering = { everyMs: settings.convergeIntervalMs, soonMs: settings.sweepIntervalMs };
    this.#reconcilers = {
      auction: new Reconciler(
        'auction',
        settings.auctionIntervalMs,
        leading(() => this.auctioneer.run()),
        log,
      ),
      sweep: new Reconciler('sweep', settings.sweepIntervalMs, () => this.#sweep(), log),
      converge: new Reconciler(
        'converge',
        settings.convergeIntervalMs,
        leading(() => this.converger.converge()),
        log,
      ),
      completions: new Reconciler('completions', delivering, () => completions.deliver(), log),
      notices: new Reconciler('notices', delivering, () => this.notices.deliver(), log),
    };
  }

  /** Brings the schema up to date and begins to work. */
  async start(): Promise<void> {
    await migrate(this.db, 'bbs', MIGRATIONS);
    this.#unsubscribe = this.changes.onForeignWork(() => this.wakeAuction());
    for (const reconciler of Object.values(this.#reconcilers)) reconciler.start();
  }

  async close(): Promise<void> {
    this.#unsubscribe();
    await Promise.all(Object.values(this.#reconcilers).map((reconciler) => reconciler.stop()));
    await Promise.all(this.#background);
    this.changes.close();
    await this.#leadership.close();
  }

  /** Looks at everything now. */
  wake(): void {
    for (const reconciler of Object.values(this.#reconcilers)) reconciler.wake();
  }

  wakeAuction(): void {
    this.#reconcilers.auction.wake();
  }

  wakeCompletions(): void {
    this.#reconcilers.completions.wake();
  }

  wakeNotices(): void {
    this.#reconcilers.notices.wake();
  }

  /** Goes on after the answer; `close` waits for it. */
  inBackground(complaint: string, body: () => Promise<void>): void {
    const running = body()
      .catch((error: unknown) => this.log.warn(complaint, { error: messageOf(error) }))
      .finally(() => this.#background.delete(running));
    this.#background.add(running);
  }

  async #sweep(): Promise<void> {
    try {
      const leads = await this.#leads();
      if (leads && !this.#led) this.wakeAuction(); // what another one's end left waiting
      this.#led = leads;
      if (leads) await this.converger.sweep();
      else this.converger.pause();
    } catch (error) {
      this.converger.pause();
      throw error;
    }
  }

  #led = false;
  #asking: Promise<boolean> | null = null;
  /** Asked by several reconcilers; the session answers one at a time. */
  #leads(): Promise<boolean> {
    this.#asking ??= this.#leadership.held().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }
}
