import { create } from '@bufbuild/protobuf';
import {
  type CellPresence,
  type CellState,
  LrpStartSchema,
  type Task,
  type Work,
  WorkSchema,
} from '../../contracts/gen/diego_pb.js';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import type { CellStore } from '../cells/store.ts';
import type { Changes } from '../changes.ts';
import type { DesiredLrpStore } from '../desired-lrps/store.ts';
import { inParallel, type Reps } from '../reps.ts';
import type { DiegoSettings } from '../settings.ts';
import type { TaskStore } from '../tasks/store.ts';
import { type AuctionCell, CONTAINERS_FOR_EACH_FREE, type Placement, place } from './placement.ts';
import { type Assignment, type AuctionStore, isLrp, isTask, type Pending } from './store.ts';

export interface AuctioneerOptions {
  store: AuctionStore;
  cells: CellStore;
  desiredLrps: DesiredLrpStore;
  tasks: TaskStore;
  reps: Reps;
  changes: Changes;
  settings: DiegoSettings;
  clock: () => number;
  log: Logger;
}

/** What one auction did. */
export interface AuctionResult {
  placed: number;
  unplaced: number;
  /** Given to a cell that refused it or did not answer; to be placed again. */
  refused: number;
}

/** How many times one run offers work that cells refused to others, before it waits for the next run. */
const ROUNDS = 3;
/** How many starts one call carries: a cell begins with the first while the others are on their way. */
const STARTS_A_CALL = 250;
const CALLS_AT_ONCE = 64;

/** Gives waiting work to cells (DGO-01, DGO-03). */
export class Auctioneer {
  readonly #options: AuctioneerOptions;

  constructor(options: AuctioneerOptions) {
    this.#options = options;
  }

  /** Places all that waits; what finds no room or no taker waits on, with the reason in its row. */
  async run(): Promise<void> {
    const { settings } = this.#options;
    const refusing = new Set<string>();
    for (let refusals = 0; refusals < ROUNDS; ) {
      const result = await this.auction(refusing);
      if (result.refused > 0) refusals += 1;
      else if (result.placed < settings.auctionBatch) return;
    }
  }

  /** One round: looks, places, reserves, hands over. Leaves out `refusing` cells and adds those that refuse. */
  async auction(refusing = new Set<string>()): Promise<AuctionResult> {
    const { store, cells, reps, settings, clock, log } = this.#options;
    const startedAt = performance.now();
    const pending = await store.pending(clock(), settings.auctionBatch);
    if (pending.length === 0) return { placed: 0, unplaced: 0, refused: 0 };

    const live = (await cells.live(clock())).filter(
      ({ cellId, draining }) => !draining && !reps.isSilent(cellId, clock()) && !refusing.has(cellId),
    );
    const states = await this.#states(live);
    const bidders = await this.#bidders(states, pending.length);
    const assignments: Assignment<Pending>[] = [];
    const failures: { item: Pending; error: string }[] = [];
    for (const placement of place(bidders, pending) as Placement<Pending>[]) {
      if ('error' in placement) failures.push(placement);
      else assignments.push({ item: placement.item, cellId: bidders[placement.cell]!.cellId });
    }
    await store.setPlacementErrors(failures);
    const refused = await this.#handOver(assignments, new Map(live.map((cell) => [cell.cellId, cell])), refusing);
    const result = { placed: assignments.length - refused, unplaced: failures.length, refused };
    const milliseconds = Math.round(performance.now() - startedAt);
    if (result.placed + result.refused > 0) log.info('auction', { ...result, cells: bidders.length, milliseconds });
    return result;
  }

  async #states(live: readonly CellPresence[]): Promise<CellState[]> {
    const { reps, settings, clock, log } = this.#options;
    const states: CellState[] = [];
    await inParallel(live, CALLS_AT_ONCE, async (cell) => {
      try {
        const state = await reps.of(cell).state({}, { timeoutMs: settings.repTimeoutMs });
        state.presence ??= cell;
        if (!state.draining) states.push(state);
      } catch (error) {
        reps.silent(cell.cellId, clock() + settings.silentCellPauseMs);
        log.warn('a cell did not tell its state', { cell: cell.cellId, error: messageOf(error) });
      }
    });
    return states;
  }

  /**
   * The cells' own word, less what is reserved on them and has perhaps not reached them yet; and whose containers they
   * have, where so many may be placed that it matters.
   */
  async #bidders(states: readonly CellState[], waiting: number): Promise<AuctionCell[]> {
    const { store, clock } = this.#options;
    const known = new Map(states.map((state) => [state.presence!.cellId, new Set(state.lrps.map(keyOf))]));
    const bidders = new Map(states.map((state) => [state.presence!.cellId, bidderOf(state)]));
    for (const reservation of await store.reserved(clock())) {
      const cell = bidders.get(reservation.cellId);
      if (!cell || known.get(reservation.cellId)?.has(keyOf(reservation))) continue;
      cell.instances.set(reservation.processGuid, (cell.instances.get(reservation.processGuid) ?? 0) + 1);
      cell.memoryMb -= reservation.memoryMb;
      cell.diskMb -= reservation.diskMb;
      cell.containers -= 1;
    }
    const filling = [...bidders.values()].filter(
      (cell) => (cell.containers - waiting) * (1 + CONTAINERS_FOR_EACH_FREE) < cell.totalContainers,
    );
    const held = await store.containersOf(
      filling.map(({ cellId }) => cellId),
      clock(),
    );
    for (const { cellId, organizationGuid, containers } of held) {
      bidders.get(cellId)!.organizations.set(organizationGuid, containers);
    }
    return [...bidders.values()];
  }

  /** Gives how many were refused. */
  async #handOver(
    assignments: readonly Assignment<Pending>[],
    cells: ReadonlyMap<string, CellPresence>,
    refusing: Set<string>,
  ): Promise<number> {
    const { store, desiredLrps, tasks, settings, clock } = this.#options;
    const untilMs = clock() + settings.placementLeaseMs;
    const lrps = await store.reserveLrps(assignments.filter(isLrp), clock(), untilMs);
    const reservedTasks = await store.reserveTasks(assignments.filter(isTask), clock(), untilMs);
    const [lrpDefinitions, taskDefinitions] = await Promise.all([
      desiredLrps.open([...new Set(lrps.map(({ item }) => item.processGuid))]),
      reservedTasks.length > 0 ? tasks.open(reservedTasks.map(({ item }) => item.taskGuid)) : new Map<string, Task>(),
    ]);
    const work = new Map<string, Work>();
    const workOf = (cellId: string): Work => {
      const known = work.get(cellId) ?? create(WorkSchema);
      work.set(cellId, known);
      return known;
    };
    for (const { item, cellId } of lrps) {
      const desiredLrp = lrpDefinitions.get(item.processGuid);
      if (desiredLrp) workOf(cellId).lrpStarts.push(create(LrpStartSchema, { desiredLrp, index: item.index }));
    }
    for (const { item, cellId } of reservedTasks) {
      const task = taskDefinitions.get(item.taskGuid);
      if (task) workOf(cellId).tasks.push(task);
    }
    const refused: Work[] = [];
    const calls = [...work].flatMap(([cellId, all]) =>
      callsOf(all).map((call) => ({ cell: cells.get(cellId)!, call })),
    );
    await inParallel(calls, CALLS_AT_ONCE, async ({ cell, call }) => {
      const back = await this.#perform(cell, call);
      if (back.lrpStarts.length + back.tasks.length > 0) refusing.add(cell.cellId);
      refused.push(back);
    });
    return this.#release([...lrps, ...reservedTasks], refused);
  }

  /** Gives what the cell did not take: everything, where it did not answer. */
  async #perform(cell: CellPresence, work: Work): Promise<Work> {
    const { reps, settings, clock, log } = this.#options;
    try {
      return await reps.of(cell).perform(work, { timeoutMs: settings.performTimeoutMs });
    } catch (error) {
      reps.silent(cell.cellId, clock() + settings.silentCellPauseMs);
      log.warn('a cell did not answer when it was given work', { cell: cell.cellId, error: messageOf(error) });
      return work;
    }
  }

  async #release(given: readonly Assignment<Pending>[], refused: readonly Work[]): Promise<number> {
    const lrps = new Set(
      refused.flatMap((work) =>
        work.lrpStarts.map(({ desiredLrp, index }) => keyOf({ processGuid: desiredLrp?.processGuid ?? '', index })),
      ),
    );
    const tasks = new Set(refused.flatMap((work) => work.tasks.map((task) => task.taskGuid)));
    if (lrps.size + tasks.size === 0) return 0;
    const back = given.filter(({ item }) => (item.kind === 'lrp' ? lrps.has(keyOf(item)) : tasks.has(item.taskGuid)));
    await this.#options.store.release(back);
    return back.length;
  }
}

type Bidder = AuctionCell & { instances: Map<string, number>; organizations: Map<string, number> };

function bidderOf(state: CellState): Bidder {
  const presence = state.presence!;
  const instances = new Map<string, number>();
  for (const { processGuid } of state.lrps) instances.set(processGuid, (instances.get(processGuid) ?? 0) + 1);
  return {
    cellId: presence.cellId,
    zone: presence.zone,
    stacks: presence.stacks,
    placementTags: presence.placementTags,
    totalMemoryMb: presence.memoryMb,
    totalDiskMb: presence.diskMb,
    totalContainers: presence.containers,
    memoryMb: state.availableMemoryMb,
    diskMb: state.availableDiskMb,
    containers: state.availableContainers,
    instances,
    organizations: new Map(),
  };
}

function keyOf({ processGuid, index }: { processGuid: string; index: number }): string {
  return `${processGuid}/${index}`;
}

function callsOf(work: Work): Work[] {
  if (work.lrpStarts.length <= STARTS_A_CALL) return [work];
  const calls: Work[] = [];
  for (let from = 0; from < work.lrpStarts.length; from += STARTS_A_CALL) {
    const lrpStarts = work.lrpStarts.slice(from, from + STARTS_A_CALL);
    calls.push(create(WorkSchema, { lrpStarts, tasks: from === 0 ? work.tasks : [] }));
  }
  return calls;
}
