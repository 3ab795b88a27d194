import { create, toJson } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { type ActualLrp, ActualLrpSchema, type PortMapping, PortMappingSchema } from '../../contracts/gen/diego_pb.js';
import { afterCrash } from '../convergence/back-off.ts';
import { type ActualLrpState, type BbsDatabase, IS_DESIRED, retryConflicts } from '../schema.ts';

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
const VACATED =
  sql.raw(`cell_id = '', instance_guid = '', instance_address = '', host_address = '', routable = true, ports = '[]',
  placed_cell = '', placed_until_ms = 0`);
/** Assignments that make a row one that nobody has and that is to be placed. */
export const NOBODYS = sql`state = 'UNCLAIMED', restart_at_ms = 0, ${VACATED}`;

/**
 * What runs where. Each change of one row names the state, cell and instance it expects: of two that want the same row
 * one gets it, whatever either believed.
 */
export class ActualLrpStore {
  readonly #db: BbsDatabase;

  constructor(db: BbsDatabase) {
    this.#db = db;
  }

  /** All of the given processes; of all processes where none is given. */
  async list(processGuids: readonly string[]): Promise<ActualLrp[]> {
    const { rows } = await sql<ActualLrpRow>`
      SELECT ${COLUMNS} FROM actual_lrps a
      WHERE ${processGuids.length === 0} OR a.process_guid = ANY(${processGuids}::text[])
      ORDER BY a.process_guid, a.index`.execute(this.#db);
    return rows.map(actualLrpOf);
  }

  async ofCell(cellId: string): Promise<ActualLrp[]> {
    const { rows } = await sql<ActualLrpRow>`
      SELECT ${COLUMNS} FROM actual_lrps a WHERE a.cell_id = ${cellId}
      ORDER BY a.process_guid, a.index`.execute(this.#db);
    return rows.map(actualLrpOf);
  }

  async find(processGuid: string, index: number): Promise<ActualLrp | null> {
    const { rows } = await sql<ActualLrpRow>`
      SELECT ${COLUMNS} FROM actual_lrps a
      WHERE a.process_guid = ${processGuid} AND a.index = ${index}`.execute(this.#db);
    return rows[0] ? actualLrpOf(rows[0]) : null;
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

  /** Null where another cell or another instance has it. */
  async start(lrp: ActualLrp, nowMs: number): Promise<Start | null> {
    const routable = lrp.routable ?? true; // a cell that knows of no readiness sends requests to all that runs
    const { rows } = await retryConflicts(() =>
      sql<{ ran: boolean; was_routable: boolean }>`
      WITH before AS (
        SELECT state, routable FROM actual_lrps
        WHERE process_guid = ${lrp.processGuid} AND index = ${lrp.index} FOR UPDATE)
      UPDATE actual_lrps a SET
        since_ms = CASE WHEN a.state = 'RUNNING' THEN since_ms ELSE ${nowMs} END, routable = ${routable},
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

  /** Null where the row is not this cell's and instance's. */
  async crash(lrp: ActualLrp, nowMs: number): Promise<Crash | null> {
    const { rows } = await sql<ActualLrpRow & { desired: boolean }>`
      SELECT ${COLUMNS}, ${IS_DESIRED} AS desired FROM actual_lrps a
      WHERE a.process_guid = ${lrp.processGuid} AND a.index = ${lrp.index}
        AND a.cell_id = ${lrp.cellId} AND a.instance_guid = ${lrp.instanceGuid}`.execute(this.#db);
    const row = rows[0];
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
    const changed = await this.#changed(sql`
      UPDATE actual_lrps SET ${VACATED}, state = ${pauseMs > 0 ? 'CRASHED' : 'UNCLAIMED'},
        restart_at_ms = ${pauseMs > 0 ? nowMs + pauseMs : 0}, since_ms = ${nowMs}, crash_count = ${crashCount},
        crash_reason = ${lrp.crashReason.slice(0, 1_000)}
      WHERE ${same}`);
    return changed ? { crashCount, restartAtMs: nowMs + pauseMs } : null;
  }

  /** It stopped as it was told to. Still wanted (a retired instance), it is to be placed again: gives true then. */
  async remove(lrp: ActualLrp, nowMs: number): Promise<boolean> {
    const mine = sql`a.process_guid = ${lrp.processGuid} AND a.index = ${lrp.index}
      AND a.cell_id = ${lrp.cellId} AND a.instance_guid = ${lrp.instanceGuid}`;
    const again = await this.#changed(sql`
      UPDATE actual_lrps a SET ${NOBODYS}, since_ms = ${nowMs} WHERE ${mine} AND ${IS_DESIRED}`);
    if (!again) await this.#changed(sql`DELETE FROM actual_lrps a WHERE ${mine}`);
    return again;
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
