import { sql } from 'kysely';
import { type BbsDatabase, retryConflicts } from '../schema.ts';
import type { AuctionItem } from './placement.ts';

/** Waiting work as the auction needs it: no definition is opened before its cell is known. */
export type Pending =
  | (AuctionItem & { kind: 'lrp'; processGuid: string; placementError: string })
  | (AuctionItem & { kind: 'task'; processGuid: null; taskGuid: string; placementError: string });
export type PendingLrp = Extract<Pending, { kind: 'lrp' }>;
export type PendingTask = Extract<Pending, { kind: 'task' }>;

export interface Assignment<Item extends Pending> {
  item: Item;
  cellId: string;
}

/** An instance on its way to a cell. */
export interface Reservation {
  cellId: string;
  processGuid: string;
  index: number;
  memoryMb: number;
  diskMb: number;
}

/**
 * The auction's side of the tables. Work given to a cell is reserved for it before the cell hears of it: an auctioneer
 * that dies in between, or another one, does not give it away again until the reservation runs out.
 */
export class AuctionStore {
  readonly #db: BbsDatabase;

  constructor(db: BbsDatabase) {
    this.#db = db;
  }

  /**
   * Organizations take turns, each with its first instances first: a batch starts every app before it scales any, and has
   * something of everybody who waits, however much another asks for.
   */
  async pending(nowMs: number, limit: number): Promise<Pending[]> {
    const lrps = await sql<PendingLrp>`
      SELECT 'lrp' AS kind, a.process_guid AS "processGuid", a.index, d.stack, d.placement_tags AS "placementTags",
        d.memory_mb AS "memoryMb", d.disk_mb AS "diskMb", a.placement_error AS "placementError",
        ${organizationOf('d')} AS "organizationGuid"
      FROM actual_lrps a JOIN desired_lrps d ON d.process_guid = a.process_guid AND a.index < d.instances
      WHERE a.state = 'UNCLAIMED' AND a.placed_until_ms <= ${nowMs}
      ORDER BY row_number() OVER (PARTITION BY ${organizationOf('d')} ORDER BY a.index, a.since_ms), a.since_ms
      LIMIT ${limit}`.execute(this.#db);
    const tasks = await sql<PendingTask>`
      SELECT 'task' AS kind, task_guid AS "taskGuid", NULL AS "processGuid", 0 AS index, stack,
        placement_tags AS "placementTags", memory_mb AS "memoryMb", disk_mb AS "diskMb",
        placement_error AS "placementError", ${organizationOf('tasks')} AS "organizationGuid"
      FROM tasks WHERE state = 'PENDING' AND placed_until_ms <= ${nowMs}
      ORDER BY row_number() OVER (PARTITION BY ${organizationOf('tasks')} ORDER BY created_ms), created_ms
      LIMIT ${limit}`.execute(this.#db);
    return [...tasks.rows, ...lrps.rows];
  }

  /** Instances that were given to a cell and that it has not claimed yet. */
  async reserved(nowMs: number): Promise<Reservation[]> {
    const { rows } = await sql<Reservation>`
      SELECT a.placed_cell AS "cellId", a.process_guid AS "processGuid", a.index, d.memory_mb AS "memoryMb",
        d.disk_mb AS "diskMb"
      FROM actual_lrps a JOIN desired_lrps d USING (process_guid)
      WHERE a.state = 'UNCLAIMED' AND a.placed_until_ms > ${nowMs}`.execute(this.#db);
    return rows;
  }

  /** Of each of these cells and each organization: its containers there, and those given to the cell and not claimed yet. */
  async containersOf(
    cellIds: readonly string[],
    nowMs: number,
  ): Promise<{ cellId: string; organizationGuid: string; containers: number }[]> {
    if (cellIds.length === 0) return [];
    const given = sql`placed_until_ms > ${nowMs} AND placed_cell = ANY(${cellIds}::text[])`;
    const { rows } = await sql<{ cellId: string; organizationGuid: string; containers: number }>`
      SELECT cell_id AS "cellId", organization AS "organizationGuid", count(*)::integer AS containers FROM (
        SELECT a.cell_id, ${organizationOf('d')} AS organization
        FROM actual_lrps a JOIN desired_lrps d USING (process_guid)
        WHERE a.cell_id <> '' AND a.cell_id = ANY(${cellIds}::text[])
        UNION ALL SELECT a.placed_cell, ${organizationOf('d')}
        FROM actual_lrps a JOIN desired_lrps d USING (process_guid) WHERE a.state = 'UNCLAIMED' AND ${given}
        UNION ALL SELECT cell_id, ${organizationOf('tasks')}
        FROM tasks WHERE state = 'RUNNING' AND cell_id = ANY(${cellIds}::text[])
        UNION ALL SELECT placed_cell, ${organizationOf('tasks')} FROM tasks WHERE state = 'PENDING' AND ${given}) held
      GROUP BY cell_id, organization`.execute(this.#db);
    return rows;
  }

  /** Reserves instances for cells and gives those that were still free. */
  async reserveLrps(
    assignments: readonly Assignment<PendingLrp>[],
    nowMs: number,
    untilMs: number,
  ): Promise<Assignment<PendingLrp>[]> {
    if (assignments.length === 0) return [];
    const { rows } = await retryConflicts(() =>
      sql<{ position: number }>`
        UPDATE actual_lrps a SET placed_cell = k.cell_id, placed_until_ms = ${untilMs}
        FROM unnest(${assignments.map(({ item }) => item.processGuid)}::text[],
                    ${assignments.map(({ item }) => item.index)}::integer[],
                    ${assignments.map(({ cellId }) => cellId)}::text[])
          WITH ORDINALITY AS k (process_guid, index, cell_id, position)
        WHERE a.process_guid = k.process_guid AND a.index = k.index
          AND a.state = 'UNCLAIMED' AND a.placed_until_ms <= ${nowMs}
        RETURNING k.position::integer AS position`.execute(this.#db),
    );
    return rows.map(({ position }) => assignments[position - 1]!);
  }

  async reserveTasks(
    assignments: readonly Assignment<PendingTask>[],
    nowMs: number,
    untilMs: number,
  ): Promise<Assignment<PendingTask>[]> {
    if (assignments.length === 0) return [];
    const { rows } = await retryConflicts(() =>
      sql<{ position: number }>`
        UPDATE tasks t SET placed_cell = k.cell_id, placed_until_ms = ${untilMs}
        FROM unnest(${assignments.map(({ item }) => item.taskGuid)}::text[],
                    ${assignments.map(({ cellId }) => cellId)}::text[])
          WITH ORDINALITY AS k (task_guid, cell_id, position)
        WHERE t.task_guid = k.task_guid AND t.state = 'PENDING' AND t.placed_until_ms <= ${nowMs}
        RETURNING k.position::integer AS position`.execute(this.#db),
    );
    return rows.map(({ position }) => assignments[position - 1]!);
  }

  /** Ends reservations of work that its cell did not take. */
  async release(assignments: readonly Assignment<Pending>[]): Promise<void> {
    const lrps = assignments.filter((assignment) => isLrp(assignment));
    const tasks = assignments.filter((assignment) => isTask(assignment));
    if (lrps.length > 0) {
      await retryConflicts(() =>
        sql`
          UPDATE actual_lrps a SET placed_cell = '', placed_until_ms = 0
          FROM unnest(${lrps.map(({ item }) => item.processGuid)}::text[],
                      ${lrps.map(({ item }) => item.index)}::integer[],
                      ${lrps.map(({ cellId }) => cellId)}::text[]) AS k (process_guid, index, cell_id)
          WHERE a.process_guid = k.process_guid AND a.index = k.index AND a.placed_cell = k.cell_id
            AND a.state = 'UNCLAIMED'`.execute(this.#db),
      );
    }
    if (tasks.length > 0) {
      await retryConflicts(() =>
        sql`
          UPDATE tasks t SET placed_cell = '', placed_until_ms = 0
          FROM unnest(${tasks.map(({ item }) => item.taskGuid)}::text[],
                      ${tasks.map(({ cellId }) => cellId)}::text[]) AS k (task_guid, cell_id)
          WHERE t.task_guid = k.task_guid AND t.placed_cell = k.cell_id AND t.state = 'PENDING'`.execute(this.#db),
      );
    }
  }

  /** Writes why work found no place; a reason that is already there is not written again. */
  async setPlacementErrors(failures: readonly { item: Pending; error: string }[]): Promise<void> {
    const changed = failures.filter(({ item, error }) => item.placementError !== error);
    const lrps = changed.flatMap(({ item, error }) => (item.kind === 'lrp' ? [{ item, error }] : []));
    const tasks = changed.flatMap(({ item, error }) => (item.kind === 'task' ? [{ item, error }] : []));
    if (lrps.length > 0) {
      await retryConflicts(() =>
        sql`
          UPDATE actual_lrps a SET placement_error = k.error
          FROM unnest(${lrps.map(({ item }) => item.processGuid)}::text[],
                      ${lrps.map(({ item }) => item.index)}::integer[],
                      ${lrps.map(({ error }) => error)}::text[]) AS k (process_guid, index, error)
          WHERE a.process_guid = k.process_guid AND a.index = k.index AND a.state = 'UNCLAIMED'`.execute(this.#db),
      );
    }
    if (tasks.length > 0) {
      await sql`
        UPDATE tasks t SET placement_error = k.error
        FROM unnest(${tasks.map(({ item }) => item.taskGuid)}::text[],
                    ${tasks.map(({ error }) => error)}::text[]) AS k (task_guid, error)
        WHERE t.task_guid = k.task_guid AND t.state = 'PENDING'`.execute(this.#db);
    }
  }
}

/** The organization in a row's owner, '' where there is none. */
function organizationOf(table: 'd' | 'tasks') {
  return sql.raw(`coalesce(${table}.owner ->> 'organizationGuid', '')`);
}

export function isLrp(assignment: Assignment<Pending>): assignment is Assignment<PendingLrp> {
  return assignment.item.kind === 'lrp';
}
export function isTask(assignment: Assignment<Pending>): assignment is Assignment<PendingTask> {
  return assignment.item.kind === 'task';
}
