import { sql } from 'kysely';
import type { ActualLrp } from '../../contracts/gen/diego_pb.js';
import { crashNotice, LONGEST_REASON } from '../actual-lrps/notices.ts';
import type { HeldInstance } from '../convergence/store.ts';
import { type BbsDatabase, IS_DESIRED, NOBODYS, retryConflicts } from '../schema.ts';

/** An instance that serves on until its place is taken elsewhere. */
export interface EvacuatingRow {
  process_guid: string;
  index: number;
  instance_guid: string;
  cell_id: string;
  since_ms: number;
  instance_address: string;
  host_address: string;
  routable: boolean;
  ports: { containerPort?: number; hostTlsProxyPort?: number }[];
}

/** How many instances of a draining cell wait elsewhere, and what for. */
export interface Waiting {
  cellId: string;
  reason: string;
  instances: number;
}

/**
 * What leaves drained cells. The running instance moves to a row of its own, and its place in `actual_lrps` is free to be
 * given away; it goes only when that place is taken by an instance that runs.
 */
export class EvacuationStore {
  readonly #db: BbsDatabase;

  constructor(db: BbsDatabase) {
    this.#db = db;
  }

  /** Begins for every running instance of a draining cell. Gives how many places are to be filled. */
  async begin(nowMs: number): Promise<number> {
    return this.#changed(sql`
      WITH leaving AS (
        SELECT a.* FROM actual_lrps a
        WHERE a.cell_id IN (SELECT cell_id FROM cell_drains) AND a.state = 'RUNNING' AND ${IS_DESIRED} FOR UPDATE),
      kept AS (
        INSERT INTO evacuating_lrps (process_guid, index, instance_guid, cell_id, since_ms, instance_address,
                                     host_address, routable, ports)
        SELECT process_guid, index, instance_guid, cell_id, since_ms, instance_address, host_address, routable, ports
        FROM leaving
        ON CONFLICT (instance_guid) DO NOTHING)
      UPDATE actual_lrps a SET ${NOBODYS}, placement_error = '', since_ms = ${nowMs}
      FROM leaving l WHERE a.process_guid = l.process_guid AND a.index = l.index`);
  }

  /**
   * Of cells that are drained no longer: what has not found another place by now keeps its own, and counts as ready since now, where it
   * is: since when it is was not noted while it left. A place that is promised to another cell is looked at again later; one that is
   * promised to the very cell is taken, which has no more to begin. Gives how many.
   */
  async takeBack(nowMs: number): Promise<number> {
    return this.#changed(sql`
      WITH free AS (
        SELECT e.* FROM evacuating_lrps e JOIN actual_lrps a USING (process_guid, index)
        WHERE e.cell_id NOT IN (SELECT cell_id FROM cell_drains) AND a.state IN ('UNCLAIMED', 'CRASHED') AND ${IS_DESIRED}
          AND (a.placed_until_ms <= ${nowMs} OR a.placed_cell = e.cell_id)
        FOR UPDATE OF a, e),
      back AS (
        UPDATE actual_lrps a SET state = 'RUNNING', cell_id = f.cell_id, instance_guid = f.instance_guid,
          since_ms = f.since_ms, readiness_since_ms = ${nowMs}, instance_address = f.instance_address, host_address = f.host_address,
          routable = f.routable, ports = f.ports, placement_error = '', placed_cell = '', placed_until_ms = 0, restart_at_ms = 0
        FROM free f WHERE a.process_guid = f.process_guid AND a.index = f.index RETURNING a.instance_guid)
      DELETE FROM evacuating_lrps e USING back WHERE e.instance_guid = back.instance_guid`);
  }

  /** Instances whose place has been taken by one that runs and is ready since before `beforeMs`: the routers know it by now. */
  async replaced(beforeMs: number): Promise<HeldInstance[]> {
    const { rows } = await sql<HeldInstance>`
      SELECT e.process_guid AS "processGuid", e.index, e.instance_guid AS "instanceGuid", e.cell_id AS "cellId"
      FROM evacuating_lrps e JOIN actual_lrps a USING (process_guid, index)
      WHERE a.state = 'RUNNING' AND a.routable AND greatest(a.since_ms, a.readiness_since_ms) <= ${beforeMs}`.execute(
      this.#db,
    );
    return rows;
  }

  /** By "process guid/index"; of all processes where none is named. */
  async byPlace(processGuids: readonly string[]): Promise<Map<string, EvacuatingRow>> {
    const { rows } = await sql<EvacuatingRow>`
      SELECT * FROM evacuating_lrps WHERE ${processGuids.length === 0} OR process_guid = ANY(${processGuids}::text[])
      ORDER BY since_ms`.execute(this.#db);
    return new Map(rows.map((row) => [`${row.process_guid}/${row.index}`, row]));
  }

  async ofCell(cellId: string): Promise<EvacuatingRow[]> {
    const { rows } = await sql<EvacuatingRow>`
      SELECT * FROM evacuating_lrps WHERE cell_id = ${cellId} ORDER BY process_guid, index`.execute(this.#db);
    return rows;
  }

  /** What instances of draining cells wait for. */
  async waiting(): Promise<Waiting[]> {
    const { rows } = await sql<Waiting>`
      SELECT e.cell_id AS "cellId", a.placement_error AS reason, count(*)::integer AS instances
      FROM evacuating_lrps e JOIN actual_lrps a USING (process_guid, index)
      WHERE NOT (a.state = 'RUNNING' AND a.routable) GROUP BY e.cell_id, a.placement_error ORDER BY e.cell_id, a.placement_error`.execute(
      this.#db,
    );
    return rows;
  }

  /** True where it leaves; whether it is ready is noted. */
  async isLeaving(lrp: Pick<ActualLrp, 'instanceGuid' | 'cellId'>, routable: boolean): Promise<boolean> {
    const noted = await this.#changed(sql`
      UPDATE evacuating_lrps SET routable = ${routable}
      WHERE instance_guid = ${lrp.instanceGuid} AND cell_id = ${lrp.cellId}`);
    return noted > 0;
  }

  /** It is gone. False where it was none that leaves. */
  async remove(lrp: Pick<ActualLrp, 'instanceGuid' | 'cellId'>): Promise<boolean> {
    const removed = await this.#changed(sql`
      DELETE FROM evacuating_lrps WHERE instance_guid = ${lrp.instanceGuid} AND cell_id = ${lrp.cellId}`);
    return removed > 0;
  }

  /** It crashed instead of being stopped: its place is another's already, or waits for one. False where it was none that leaves. */
  async crash(lrp: ActualLrp, nowMs: number): Promise<boolean> {
    const notice = crashNotice(
      {
        process_guid: lrp.processGuid,
        index: lrp.index,
        instance_guid: lrp.instanceGuid,
        cell_id: lrp.cellId,
        reason: lrp.crashReason.slice(0, LONGEST_REASON),
        crash_count: 1,
      },
      nowMs,
    );
    const crashed = await this.#changed(sql`
      WITH gone AS (
        DELETE FROM evacuating_lrps WHERE instance_guid = ${lrp.instanceGuid} AND cell_id = ${lrp.cellId} RETURNING 1)
      ${notice} FROM gone`);
    return crashed > 0;
  }

  /** Those of cells that are not live any more. */
  removeLost(liveSinceMs: number): Promise<number> {
    return this.#changed(sql`
      DELETE FROM evacuating_lrps e
      WHERE NOT EXISTS (SELECT 1 FROM cells c WHERE c.cell_id = e.cell_id AND c.last_seen_ms >= ${liveSinceMs})`);
  }

  async #changed(statement: ReturnType<typeof sql>): Promise<number> {
    const { numAffectedRows } = await retryConflicts(() => statement.execute(this.#db));
    return Number(numAffectedRows ?? 0n);
  }
}
