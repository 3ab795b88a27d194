import { create, toJson } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { type ActualLrp, ActualLrpSchema, type PortMapping, PortMappingSchema } from '../../contracts/gen/diego_pb.js';
import { afterCrash } from '../convergence/back-off.ts';
import type { EvacuatingRow, EvacuationStore } from '../evacuation/store.ts';
import { type ActualLrpState, type BbsDatabase, IS_DESIRED, NOBODYS, retryConflicts, VACATED } from '../schema.ts';
import { crashNotice, LONGEST_REASON } from './notices.ts';

export interface ActualLrpRow {
  process_guid: string;
  index: number;
  state: ActualLrpState;
  instance_guid: string;
  cell_id: string;
  since_ms: number;
  crash_count: number;
  crash_reason: string;
  restart_at_ms: number;
  placement_error: string;
  instance_address: string;
  host_address: string;
  routable: boolean;
  ports: { containerPort?: number; hostTlsProxyPort?: number }[];
}

/** What the report of a running instance led to. */
export interface Start {
  routable: boolean;
  /** It ran before, and gets requests now and did not, or the other way about. */
  readinessChanged: boolean;
}

/** What a crash led to. */
export interface Crash {
  crashCount: number;
  /** Null where the instance is no longer wanted: its row is gone. */
  restartAtMs: number | null;
}

const COLUMNS = sql.raw(`a.process_guid, a.index, a.state, a.instance_guid, a.cell_id, a.since_ms, a.crash_count,
  a.crash_reason, a.restart_at_ms, a.placement_error, a.instance_address, a.host_address, a.routable, a.ports`);

/**
 * What runs where. Each change of one row names the state, cell and instance it expects: of two that want the same row
 * one gets it, whatever either believed.
 */
export class ActualLrpStore {
  readonly #db: BbsDatabase;
  readonly #evacuation: EvacuationStore;

  constructor(db: BbsDatabase, evacuation: EvacuationStore) {
    this.#db = db;
    this.#evacuation = evacuation;
  }

  /**
   * All of the given processes; of all processes where none is given. Where an instance leaves its cell, it stands for its
   * index until another one runs and is ready.
   */
  async list(processGuids: readonly string[]): Promise<ActualLrp[]> {
    const { rows } = await sql<ActualLrpRow>`
      SELECT ${COLUMNS} FROM actual_lrps a
      WHERE ${processGuids.length === 0} OR a.process_guid = ANY(${processGuids}::text[])
      ORDER BY a.process_guid, a.index`.execute(this.#db);
    const leaving = await this.#evacuation.byPlace(processGuids);
    return rows.map((row) => {
      const lrp = actualLrpOf(row);
      const isTaken = row.state === 'RUNNING' && row.routable;
      return isTaken ? lrp : evacuating(lrp, leaving.get(`${row.process_guid}/${row.index}`));
    });
  }

  /** What the cell has, and what leaves it. */
  async ofCell(cellId: string): Promise<ActualLrp[]> {
    const { rows } = await sql<ActualLrpRow>`
      SELECT ${COLUMNS} FROM actual_lrps a WHERE a.cell_id = ${cellId}
      ORDER BY a.process_guid, a.index`.execute(this.#db);
    const leaving = await this.#evacuation.ofCell(cellId);
    return [
      ...rows.map(actualLrpOf),
      ...leaving.map((row) =>
        evacuating(create(ActualLrpSchema, { processGuid: row.process_guid, index: row.index }), row),
      ),
    ];
  }

  /** Every cell that has instances of the process, on their way out or not. */
  async cellsOf(processGuid: string): Promise<Set<string>> {
    const { rows } = await sql<{ cell_id: string }>`
      SELECT cell_id FROM actual_lrps WHERE process_guid = ${processGuid} AND cell_id <> ''
      UNION SELECT cell_id FROM evacuating_lrps WHERE process_guid = ${processGuid}`.execute(this.#db);
    return new Set(rows.map((row) => row.cell_id));
  }

  /** As `list` shows it. */
  async find(processGuid: string, index: number): Promise<ActualLrp | null> {
    return (await this.list([processGuid])).find((lrp) => lrp.index === index) ?? null;
  }

  /** False where somebody else has it, it is reserved for another cell, or it is not wanted. Claiming twice is the same as once. */
  async claim(lrp: ActualLrp, nowMs: number): Promise<boolean> {
    return this.#changed(sql`
      UPDATE actual_lrps a SET
        since_ms = CASE WHEN state = 'CLAIMED' THEN since_ms ELSE ${nowMs} END,
        state = 'CLAIMED', cell_id = ${lrp.cellId}, instance_guid = ${lrp.instanceGuid},
        placement_error = '', placed_cell = '', placed_until_ms = 0
      WHERE process_guid = ${lrp.processGuid} AND index = ${lrp.index} AND ${IS_DESIRED}
        AND ((state = 'UNCLAIMED' AND (placed_cell IN ('', ${lrp.cellId}) OR placed_until_ms <= ${nowMs}))
          OR (state = 'CLAIMED' AND cell_id = ${lrp.cellId} AND instance_guid = ${lrp.instanceGuid}))`);
  }

  /** Null where another cell or another instance has it. An instance that leaves stays one that leaves. */
  async start(lrp: ActualLrp, nowMs: number): Promise<Start | null> {
    const routable = lrp.routable ?? true; // a cell that knows of no readiness sends requests to all that runs
    if (await this.#evacuation.isLeaving(lrp, routable)) return { routable, readinessChanged: false };
    const { rows } = await retryConflicts(() =>
      sql<{ ran: boolean; was_routable: boolean }>`
      WITH before AS (
        SELECT state, routable FROM actual_lrps
        WHERE process_guid = ${lrp.processGuid} AND index = ${lrp.index} FOR UPDATE)
      UPDATE actual_lrps a SET
        since_ms = CASE WHEN a.state = 'RUNNING' THEN since_ms ELSE ${nowMs} END,
        readiness_since_ms = CASE WHEN a.state = 'RUNNING' AND a.routable = ${routable} THEN readiness_since_ms ELSE ${nowMs} END,
        routable = ${routable},
        state = 'RUNNING', cell_id = ${lrp.cellId}, instance_guid = ${lrp.instanceGuid},
        instance_address = ${lrp.instanceAddress}, host_address = ${lrp.hostAddress},
        ports = ${portsJson(lrp.ports)}::jsonb, placement_error = '', placed_cell = '', placed_until_ms = 0
      FROM before
      WHERE process_guid = ${lrp.processGuid} AND index = ${lrp.index}
        AND ((a.state = 'UNCLAIMED' AND ${IS_DESIRED})
          OR (cell_id = ${lrp.cellId} AND instance_guid = ${lrp.instanceGuid}))
      RETURNING before.state = 'RUNNING' AS ran, before.routable AS was_routable`.execute(this.#db),
    );
    const before = rows[0];
    return before ? { routable, readinessChanged: before.ran && before.was_routable !== routable } : null;
  }

  /** Null where the row is not this cell's and instance's. The report for people is kept with the change. */
  async crash(lrp: ActualLrp, nowMs: number): Promise<Crash | null> {
    // A second look: between the two places where it may stand, a cell in use again may have taken it back. So in `remove`.
    return (await this.#crashWhereItStands(lrp, nowMs)) ?? this.#crashWhereItStands(lrp, nowMs);
  }

  async #crashWhereItStands(lrp: ActualLrp, nowMs: number): Promise<Crash | null> {
    const { rows } = await sql<ActualLrpRow & { desired: boolean }>`
      SELECT ${COLUMNS}, ${IS_DESIRED} AS desired FROM actual_lrps a
      WHERE a.process_guid = ${lrp.processGuid} AND a.index = ${lrp.index}
        AND a.cell_id = ${lrp.cellId} AND a.instance_guid = ${lrp.instanceGuid}`.execute(this.#db);
    const row = rows[0];
    // Its place is another's already, or waits for one.
    if (!row && (await this.#evacuation.crash(lrp, nowMs))) return { crashCount: 1, restartAtMs: null };
    if (!row || (row.state !== 'CLAIMED' && row.state !== 'RUNNING')) return null;
    const same = sql`process_guid = ${row.process_guid} AND index = ${row.index} AND state = ${row.state}
      AND cell_id = ${row.cell_id} AND instance_guid = ${row.instance_guid}`;
    const { crashCount, pauseMs } = afterCrash(
      { state: row.state, sinceMs: row.since_ms, crashCount: row.crash_count },
      nowMs,
    );
    if (!row.desired) {
      return (await this.#changed(sql`DELETE FROM actual_lrps WHERE ${same}`))
        ? { crashCount, restartAtMs: null }
        : null;
    }
    const reason = lrp.crashReason.slice(0, LONGEST_REASON);
    const changed = await this.#changed(sql`
      WITH crashed AS (UPDATE actual_lrps SET ${VACATED}, state = ${pauseMs > 0 ? 'CRASHED' : 'UNCLAIMED'},
        restart_at_ms = ${pauseMs > 0 ? nowMs + pauseMs : 0}, since_ms = ${nowMs}, crash_count = ${crashCount},
        crash_reason = ${reason}
      WHERE ${same} RETURNING 1)
      ${crashNotice({ ...row, reason, crash_count: crashCount }, nowMs)} FROM crashed`);
    return changed ? { crashCount, restartAtMs: nowMs + pauseMs } : null;
  }

  /** It stopped as it was told to. Still wanted (a retired instance), it is to be placed again: gives true then. */
  async remove(lrp: ActualLrp, nowMs: number): Promise<boolean> {
    return (await this.#removeWhereItStands(lrp, nowMs)) ?? (await this.#removeWhereItStands(lrp, nowMs)) ?? false;
  }

  /** Null where it stands nowhere. */
  async #removeWhereItStands(lrp: ActualLrp, nowMs: number): Promise<boolean | null> {
    const mine = sql`a.process_guid = ${lrp.processGuid} AND a.index = ${lrp.index}
      AND a.cell_id = ${lrp.cellId} AND a.instance_guid = ${lrp.instanceGuid}`;
    const again = await this.#changed(sql`
      UPDATE actual_lrps a SET ${NOBODYS}, since_ms = ${nowMs} WHERE ${mine} AND ${IS_DESIRED}`);
    if (again) return true;
    const gone = await this.#changed(sql`DELETE FROM actual_lrps a WHERE ${mine}`);
    return gone || (await this.#evacuation.remove(lrp)) ? false : null;
  }

  /** A crashed instance starts at once, its crashes forgotten. */
  async restartCrashed(processGuid: string, index: number, nowMs: number): Promise<boolean> {
    return this.#changed(sql`
      UPDATE actual_lrps SET ${NOBODYS}, since_ms = ${nowMs}, crash_count = 0
      WHERE process_guid = ${processGuid} AND index = ${index} AND state = 'CRASHED'`);
  }

  async #changed(statement: ReturnType<typeof sql>): Promise<boolean> {
    const { numAffectedRows } = await retryConflicts(() => statement.execute(this.#db));
    return (numAffectedRows ?? 0n) > 0n;
  }
}

/** The instance that leaves, in the place of one that does not run yet; what that one waits for stays to be read. */
function evacuating(lrp: ActualLrp, leaving: EvacuatingRow | undefined): ActualLrp {
  if (!leaving) return lrp;
  const { processGuid, index, crashCount, crashReason, placementError } = lrp;
  return create(ActualLrpSchema, {
    processGuid,
    index,
    crashCount,
    crashReason,
    placementError,
    instanceGuid: leaving.instance_guid,
    cellId: leaving.cell_id,
    state: 'RUNNING',
    sinceNs: BigInt(leaving.since_ms) * 1_000_000n,
    instanceAddress: leaving.instance_address,
    hostAddress: leaving.host_address,
    ports: leaving.ports,
    routable: leaving.routable,
    evacuating: true,
  });
}

function portsJson(ports: readonly PortMapping[]): string {
  return JSON.stringify(ports.map((port) => toJson(PortMappingSchema, port)));
}

function actualLrpOf(row: ActualLrpRow): ActualLrp {
  return create(ActualLrpSchema, {
    processGuid: row.process_guid,
    index: row.index,
    instanceGuid: row.instance_guid,
    cellId: row.cell_id,
    state: row.state,
    sinceNs: BigInt(row.since_ms) * 1_000_000n,
    crashCount: row.crash_count,
    crashReason: row.crash_reason,
    placementError: row.placement_error,
    instanceAddress: row.instance_address,
    hostAddress: row.host_address,
    routable: row.routable,
    ports: row.ports,
  });
}
