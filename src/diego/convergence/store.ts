import { sql } from 'kysely';
import { type BbsDatabase, IS_DESIRED, NOBODYS, retryConflicts } from '../schema.ts';
import { STAGING_DOMAIN } from '../tasks/store.ts';

/** An instance some cell has. */
export interface HeldInstance {
  processGuid: string;
  index: number;
  instanceGuid: string;
  cellId: string;
}

/** What there is of each kind that may be due. */
export interface Due {
  crashed: boolean;
  /** Not completed. */
  tasks: boolean;
  /** Cells that were not heard of for too long. */
  silent: boolean;
  /** Instances that leave a drained cell, or are to. */
  leaving: boolean;
  /** To be told to the Cloud Controller. */
  completions: boolean;
  notices: boolean;
}

const HELD = sql.raw(`a.process_guid AS "processGuid", a.index, a.instance_guid AS "instanceGuid",
  a.cell_id AS "cellId"`);

/** What cells have: in its place, or on the way out of a drained cell. */
const ALL_HELD =
  sql.raw(`(SELECT process_guid, index, instance_guid, cell_id, since_ms FROM actual_lrps WHERE cell_id <> ''
  UNION ALL SELECT process_guid, index, instance_guid, cell_id, since_ms FROM evacuating_lrps)`);

/** The converger's statements: each looks at all rows at once. Those that change give how many they changed. */
export class ConvergenceStore {
  readonly #db: BbsDatabase;

  constructor(db: BbsDatabase) {
    this.#db = db;
  }

  /** One statement in place of one for each kind, which would find nothing most of the time. */
  async due(nowMs: number, liveSinceMs: number): Promise<Due> {
    const { rows } = await sql<Due>`
      SELECT
        EXISTS (SELECT FROM actual_lrps WHERE state = 'CRASHED' AND restart_at_ms <= ${nowMs}) AS crashed,
        EXISTS (SELECT FROM tasks WHERE state IN ('PENDING', 'RUNNING')) AS tasks,
        EXISTS (SELECT FROM cells WHERE last_seen_ms < ${liveSinceMs}) AS silent,
        EXISTS (SELECT FROM cell_drains) OR EXISTS (SELECT FROM evacuating_lrps) AS leaving,
        EXISTS (SELECT FROM tasks WHERE state = 'COMPLETED' AND completion_due_ms <= ${nowMs}) AS completions,
        EXISTS (SELECT FROM notices WHERE due_ms <= ${nowMs}) AS notices`.execute(this.#db);
    return rows[0]!;
  }

  /** Instances that are desired and in no row. */
  createMissing(nowMs: number): Promise<number> {
    return this.#changed(sql`
      INSERT INTO actual_lrps (process_guid, index, state, since_ms)
      SELECT d.process_guid, i.index, 'UNCLAIMED', ${nowMs}
      FROM desired_lrps d CROSS JOIN LATERAL generate_series(0, d.instances - 1) AS i (index)
      WHERE NOT EXISTS (SELECT 1 FROM actual_lrps a WHERE a.process_guid = d.process_guid AND a.index = i.index)
      ON CONFLICT DO NOTHING`);
  }

  /** Rows nobody wants and no cell holds. */
  deleteExtra(): Promise<number> {
    return this.#changed(sql`
      DELETE FROM actual_lrps a WHERE a.state IN ('UNCLAIMED', 'CRASHED') AND NOT ${IS_DESIRED}`);
  }

  /** Instances nobody wants that a cell still holds: of one process, or of all. */
  async extraHeld(processGuid: string | null): Promise<HeldInstance[]> {
    const { rows } = await sql<HeldInstance>`
      SELECT ${HELD} FROM ${ALL_HELD} a LEFT JOIN desired_lrps d ON d.process_guid = a.process_guid
      WHERE a.cell_id <> '' AND (d.process_guid IS NULL OR a.index >= d.instances)
        ${processGuid === null ? sql`` : sql`AND a.process_guid = ${processGuid}`}`.execute(this.#db);
    return rows;
  }

  async claimedBefore(beforeMs: number): Promise<HeldInstance[]> {
    const { rows } = await sql<HeldInstance>`
      SELECT ${HELD} FROM actual_lrps a WHERE a.state = 'CLAIMED' AND a.since_ms < ${beforeMs}`.execute(this.#db);
    return rows;
  }

  /** Of each cell, the guids of the instances it has held since before `beforeMs`. */
  async heldByCell(beforeMs: number): Promise<Map<string, string[]>> {
    // One string a cell: parsing 250,000 rows or array elements would cost more than the query.
    const { rows } = await sql<{ cell_id: string; guids: string }>`
      SELECT cell_id, string_agg(instance_guid, ' ') AS guids FROM ${ALL_HELD} held
      WHERE since_ms < ${beforeMs} GROUP BY cell_id`.execute(this.#db);
    return new Map(rows.map((row) => [row.cell_id, row.guids.split(' ')]));
  }

  /** Takes instances from cells that do not know of them. */
  async unclaim(instances: readonly { cellId: string; instanceGuid: string }[], nowMs: number): Promise<number> {
    const gone = await this.#changed(sql`
      DELETE FROM evacuating_lrps e USING unnest(${instances.map(({ instanceGuid }) => instanceGuid)}::text[]) AS k (guid)
      WHERE e.instance_guid = k.guid`);
    const unclaimed = await this.#changed(sql`
      UPDATE actual_lrps a SET ${NOBODYS}, since_ms = ${nowMs}
      FROM unnest(${instances.map(({ cellId }) => cellId)}::text[],
                  ${instances.map(({ instanceGuid }) => instanceGuid)}::text[]) AS k (cell_id, instance_guid)
      WHERE a.cell_id = k.cell_id AND a.instance_guid = k.instance_guid`);
    return gone + unclaimed;
  }

  /** What cells held that are not live any more (DGO-04). */
  unclaimLost(liveSinceMs: number, nowMs: number): Promise<number> {
    return this.#changed(sql`
      UPDATE actual_lrps a SET ${NOBODYS}, since_ms = ${nowMs}
      WHERE a.cell_id IN (
        SELECT DISTINCT held.cell_id FROM actual_lrps held WHERE held.cell_id <> ''
        EXCEPT SELECT c.cell_id FROM cells c WHERE c.last_seen_ms >= ${liveSinceMs})`);
  }

  /** Reservations on cells that are not live any more. */
  releaseLost(liveSinceMs: number): Promise<number> {
    return this.#changed(sql`
      UPDATE actual_lrps a SET placed_cell = '', placed_until_ms = 0
      WHERE a.state = 'UNCLAIMED' AND a.placed_cell <> ''
        AND NOT EXISTS (SELECT 1 FROM cells c WHERE c.cell_id = a.placed_cell AND c.last_seen_ms >= ${liveSinceMs})`);
  }

  /** A task is not repeated: what it did before its cell was lost is unknown. */
  failLostTasks(liveSinceMs: number): Promise<number> {
    return this.#changed(sql`
      UPDATE tasks t SET state = 'COMPLETED', failed = true,
        failure_reason = CASE WHEN domain = ${STAGING_DOMAIN} THEN 'StagingError: ' ELSE '' END
          || 'the cell it ran on disappeared'
      WHERE t.state = 'RUNNING'
        AND NOT EXISTS (SELECT 1 FROM cells c WHERE c.cell_id = t.cell_id AND c.last_seen_ms >= ${liveSinceMs})`);
  }

  /** Gives the LRP of each instance that may start again. */
  async restartCrashed(nowMs: number): Promise<string[]> {
    const { rows } = await retryConflicts(() =>
      sql<{ processGuid: string }>`
      UPDATE actual_lrps SET ${NOBODYS}, since_ms = ${nowMs}
      WHERE state = 'CRASHED' AND restart_at_ms <= ${nowMs} RETURNING process_guid AS "processGuid"`.execute(this.#db),
    );
    return rows.map(({ processGuid }) => processGuid);
  }

  /** Tasks past their timeout; gives which cell to tell of each. */
  async failExpiredTasks(nowMs: number): Promise<{ taskGuid: string; cellId: string }[]> {
    const { rows } = await sql<{ taskGuid: string; cellId: string }>`
      UPDATE tasks SET state = 'COMPLETED', failed = true,
        failure_reason = CASE WHEN domain = ${STAGING_DOMAIN} THEN 'StagingTimeExpired: ' ELSE '' END
          || 'it did not finish within ' || timeout_seconds || ' seconds'
      WHERE state <> 'COMPLETED' AND timeout_seconds > 0 AND created_ms + timeout_seconds * 1000::bigint < ${nowMs}
      RETURNING task_guid AS "taskGuid", cell_id AS "cellId"`.execute(this.#db);
    return rows;
  }

  /** Tasks that found no room for too long: who waits for a staging would rather know. Gives their guids. */
  async failUnplaceableTasks(createdBeforeMs: number): Promise<string[]> {
    const { rows } = await retryConflicts(() =>
      sql<{ taskGuid: string }>`
      UPDATE tasks SET state = 'COMPLETED', failed = true,
        failure_reason = CASE WHEN domain = ${STAGING_DOMAIN} THEN 'InsufficientResources: ' ELSE '' END
          || placement_error
      WHERE state = 'PENDING' AND placement_error <> '' AND created_ms < ${createdBeforeMs}
      RETURNING task_guid AS "taskGuid"`.execute(this.#db),
    );
    return rows.map(({ taskGuid }) => taskGuid);
  }

  async #changed(statement: ReturnType<typeof sql>): Promise<number> {
    const { numAffectedRows } = await retryConflicts(() => statement.execute(this.#db));
    return Number(numAffectedRows ?? 0n);
  }
}
