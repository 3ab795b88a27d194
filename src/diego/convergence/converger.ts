import type { CellPresence } from '../../contracts/gen/diego_pb.js';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import type { CellStore } from '../cells/store.ts';
import type { Changes } from '../changes.ts';
import type { EvacuationStore } from '../evacuation/store.ts';
import { inParallel, type Reps } from '../reps.ts';
import type { DiegoSettings } from '../settings.ts';
import type { ConvergenceStore, HeldInstance } from './store.ts';

export interface ConvergerOptions {
  store: ConvergenceStore;
  evacuation: EvacuationStore;
  cells: CellStore;
  reps: Reps;
  changes: Changes;
  settings: DiegoSettings;
  clock: () => number;
  log: Logger;
  /** Called when there is something to place. */
  wakeAuction: () => void;
  /** Called when there is a completion to deliver. */
  wakeCompletions: () => void;
  /** Called when there is a notice to deliver. */
  wakeNotices: () => void;
}

/** Rows that one convergence changed, by what was wrong. */
export interface Convergence {
  missing: number;
  extra: number;
  stopped: number;
  unknown: number;
}

const CALLS_AT_ONCE = 64;

/** Brings actual state to desired state (DGO-03, DGO-04). */
export class Converger {
  readonly #options: ConvergerOptions;
  /** Since when we could have heard every cell: a cell is not lost because we were away. */
  #listeningSinceMs: number | null = null;
  #lastSweepMs = 0;
  /** Whether everything held by cells that are not live has been looked for since then. */
  #looked = false;

  constructor(options: ConvergerOptions) {
    this.#options = options;
  }

  /** What falls due by time. Cheap, often. */
  async sweep(): Promise<void> {
    const { store, settings, clock, changes, wakeAuction, wakeCompletions, wakeNotices } = this.#options;
    const now = clock();
    const due = await store.due(now, now - settings.cellLostAfterMs);
    if (due.completions) wakeCompletions();
    if (due.notices) wakeNotices();
    const restarted = due.crashed ? await store.restartCrashed(now) : [];
    const failed = due.tasks ? await store.failUnplaceableTasks(now - settings.taskPatienceMs) : [];
    const expired = due.tasks ? await store.failExpiredTasks(now) : [];
    const lost = await this.#loseCells(now, { silent: due.silent, thorough: false });
    const { evacuation } = this.#options;
    const leaving = due.leaving ? await evacuation.begin(now) : 0;
    const back = due.leaving ? await evacuation.takeBack(now) : 0;
    const replaced = due.leaving ? await evacuation.replaced(now - settings.evacuationOverlapMs) : [];
    for (const processGuid of restarted) changes.publish({ processGuid });
    for (const taskGuid of [...failed, ...expired.map((task) => task.taskGuid)]) changes.publish({ taskGuid });
    if (lost.toPlace + lost.completed + leaving + back > 0) changes.publish({});
    if (restarted.length + lost.toPlace + leaving > 0) wakeAuction();
    if (failed.length + expired.length + lost.completed > 0) wakeCompletions();
    await this.#stop(replaced);
    await inParallel(expired, CALLS_AT_ONCE, ({ taskGuid, cellId }) => this.#cancelTask(taskGuid, cellId));
  }

  /** Compares everything with everything. Gives what it found. */
  async converge(): Promise<Convergence> {
    const { store, settings, clock, changes, wakeAuction, log } = this.#options;
    const startedAt = performance.now();
    const now = clock();
    const extra = await store.deleteExtra();
    const missing = await store.createMissing(now);
    const lost = await this.#loseCells(now, { silent: true, thorough: true }); // also what a cell reported that is not live
    const unknown = await this.#unclaimUnknown(now);
    if (missing + unknown + extra + lost.toPlace > 0) {
      changes.publish({});
      wakeAuction();
    }
    const stuck = await store.claimedBefore(now - settings.claimedTooLongMs);
    const stopped = await this.#stop([...(await store.extraHeld(null)), ...stuck]);
    const result = { missing, extra, stopped, unknown };
    if (missing + extra + stopped + unknown > 0) {
      log.info('convergence', { ...result, milliseconds: Math.round(performance.now() - startedAt) });
    }
    return result;
  }

  /** Stops the instances of a process that are no longer wanted; what fails is tried again by `converge`. */
  async stopExtra(processGuid: string): Promise<void> {
    await this.#stop(await this.#options.store.extraHeld(processGuid));
  }

  /** To be called when this process stops leading or could not reach the database. */
  pause(): void {
    this.#listeningSinceMs = null;
  }

  /** `silent`: there may be such cells. `thorough`: what is held by cells that are not live is looked for in any case. */
  async #loseCells(
    now: number,
    { silent, thorough }: { silent: boolean; thorough: boolean },
  ): Promise<{ toPlace: number; completed: number }> {
    const { store, cells, reps, settings, wakeCompletions, log } = this.#options;
    if (!this.#couldHear(now)) return { toPlace: 0, completed: 0 };
    const lost = silent ? await cells.removeLost(now) : [];
    for (const cell of lost) reps.forget(cell);
    // Looking through all held instances is for when there is reason to.
    if (lost.length === 0 && this.#looked && !thorough) return { toPlace: 0, completed: 0 };
    const liveSince = now - settings.cellLostAfterMs;
    const unclaimed = await store.unclaimLost(liveSince, now);
    const released = await store.releaseLost(liveSince);
    await this.#options.evacuation.removeLost(liveSince);
    const tasks = await store.failLostTasks(liveSince);
    this.#looked = true;
    if (lost.length + unclaimed + tasks > 0) log.warn('cells are lost', { cells: lost, lrps: unclaimed, tasks });
    if (tasks > 0) wakeCompletions();
    return { toPlace: unclaimed + released, completed: tasks };
  }

  /** After a start, a pause or a suspension heartbeats need their time before silence means anything. */
  #couldHear(now: number): boolean {
    const { cellLostAfterMs } = this.#options.settings;
    const wasAway = now - this.#lastSweepMs > cellLostAfterMs / 2;
    this.#lastSweepMs = now;
    if (this.#listeningSinceMs === null || wasAway) {
      this.#listeningSinceMs = now;
      this.#looked = false;
    }
    return now - this.#listeningSinceMs >= cellLostAfterMs;
  }

  /** LRPs whose live cell does not know of them: it lost them without a word, for instance in a reboot. */
  async #unclaimUnknown(now: number): Promise<number> {
    const { store, cells, reps, settings, clock } = this.#options;
    const held = await store.heldByCell(now - settings.staleAfterMs);
    const unknown: { cellId: string; instanceGuid: string }[] = [];
    const live = await cells.live(now);
    await inParallel(live, CALLS_AT_ONCE, async (cell) => {
      const guids = held.get(cell.cellId);
      if (!guids) return;
      try {
        const state = await reps.of(cell).state({}, { timeoutMs: settings.repTimeoutMs });
        const known = new Set(state.lrps.map((lrp) => lrp.instanceGuid));
        for (const instanceGuid of guids)
          if (!known.has(instanceGuid)) unknown.push({ cellId: cell.cellId, instanceGuid });
      } catch {
        reps.silent(cell.cellId, clock() + settings.silentCellPauseMs); // its heartbeat decides whether it is lost
      }
    });
    return unknown.length > 0 ? store.unclaim(unknown, now) : 0;
  }

  async #stop(instances: readonly HeldInstance[]): Promise<number> {
    if (instances.length === 0) return 0;
    const { cells, reps, settings, clock, log } = this.#options;
    const live = new Map((await cells.live(clock())).map((cell): [string, CellPresence] => [cell.cellId, cell]));
    let stopped = 0;
    await inParallel(instances, CALLS_AT_ONCE, async ({ cellId, processGuid, index, instanceGuid }) => {
      const cell = live.get(cellId);
      if (!cell || reps.isSilent(cellId, clock())) return; // comes back, or is lost and its rows with it
      try {
        await reps.of(cell).stopLrp({ processGuid, index, instanceGuid }, { timeoutMs: settings.repTimeoutMs });
        stopped += 1;
      } catch (error) {
        reps.silent(cellId, clock() + settings.silentCellPauseMs);
        log.warn('a cell did not stop an LRP', { cell: cellId, instance: instanceGuid, error: messageOf(error) });
      }
    });
    return stopped;
  }

  async #cancelTask(taskGuid: string, cellId: string): Promise<void> {
    const { cells, reps, settings, log } = this.#options;
    try {
      const cell = cellId === '' ? null : await cells.find(cellId);
      if (cell) await reps.of(cell).cancelTask({ taskGuid }, { timeoutMs: settings.repTimeoutMs });
    } catch (error) {
      log.warn('a cell did not cancel a task', { cell: cellId, task: taskGuid, error: messageOf(error) });
    }
  }
}
