import { create } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { type CellPresence, CellPresenceSchema } from '../../contracts/gen/diego_pb.js';
import type { BbsDatabase } from '../schema.ts';

interface CellRow {
  cell_id: string;
  zone: string;
  rep_url: string;
  memory_mb: number;
  disk_mb: number;
  containers: number;
  stacks: string[];
  placement_tags: string[];
  last_seen_ms: number;
  address: string;
  draining: boolean;
}

const COLUMNS = sql.raw(`c.*, EXISTS (SELECT 1 FROM cell_drains d WHERE d.cell_id = c.cell_id) AS draining`);

/** Which cells there are and when each was last heard of, by our clock and not theirs. */
export class CellStore {
  readonly #db: BbsDatabase;
  readonly #lostAfterMs: number;

  constructor(db: BbsDatabase, lostAfterMs: number) {
    this.#db = db;
    this.#lostAfterMs = lostAfterMs;
  }

  /** Gives true where the cell is new, or was lost and is back. */
  async heartbeat(cell: CellPresence, nowMs: number): Promise<boolean> {
    const { rows } = await sql<{ before: number | null }>`
      WITH before AS (SELECT last_seen_ms FROM cells WHERE cell_id = ${cell.cellId})
      INSERT INTO cells (cell_id, zone, rep_url, memory_mb, disk_mb, containers, stacks, placement_tags, address,
                         last_seen_ms)
      VALUES (${cell.cellId}, ${cell.zone}, ${cell.repUrl}, ${cell.memoryMb}, ${cell.diskMb}, ${cell.containers},
              ${cell.stacks}, ${cell.placementTags}, ${cell.address}, ${nowMs})
      ON CONFLICT (cell_id) DO UPDATE SET
        zone = excluded.zone, rep_url = excluded.rep_url, memory_mb = excluded.memory_mb, disk_mb = excluded.disk_mb,
        containers = excluded.containers, stacks = excluded.stacks, placement_tags = excluded.placement_tags,
        address = excluded.address, last_seen_ms = excluded.last_seen_ms
      RETURNING (SELECT last_seen_ms FROM before) AS before`.execute(this.#db);
    const before = rows[0]?.before ?? null;
    return before === null || before < nowMs - this.#lostAfterMs;
  }

  async live(nowMs: number): Promise<CellPresence[]> {
    const { rows } = await sql<CellRow>`
      SELECT ${COLUMNS} FROM cells c WHERE c.last_seen_ms >= ${nowMs - this.#lostAfterMs} ORDER BY c.cell_id`.execute(
      this.#db,
    );
    return rows.map(presenceOf);
  }

  /** One cell, whether live or lost; null where it was never heard of. */
  async find(cellId: string): Promise<CellPresence | null> {
    const { rows } = await sql<CellRow>`SELECT ${COLUMNS} FROM cells c WHERE c.cell_id = ${cellId}`.execute(this.#db);
    return rows[0] ? presenceOf(rows[0]) : null;
  }

  /** Forgets the cells that were not heard of for too long, and gives their ids. */
  async removeLost(nowMs: number): Promise<string[]> {
    const { rows } = await sql<{ cell_id: string }>`
      DELETE FROM cells WHERE last_seen_ms < ${nowMs - this.#lostAfterMs} RETURNING cell_id`.execute(this.#db);
    return rows.map((row) => row.cell_id);
  }

  /** The operator's wish for a cell, kept whether or not the cell lives. False where nobody ever heard of that cell. */
  async setDraining(cellId: string, draining: boolean, nowMs: number): Promise<boolean> {
    const { rows } = await sql`
      SELECT 1 FROM cells WHERE cell_id = ${cellId} UNION ALL SELECT 1 FROM cell_drains WHERE cell_id = ${cellId}`.execute(
      this.#db,
    );
    if (rows.length === 0) return false;
    if (draining) {
      await sql`INSERT INTO cell_drains (cell_id, since_ms) VALUES (${cellId}, ${nowMs}) ON CONFLICT DO NOTHING`.execute(
        this.#db,
      );
    } else {
      await sql`DELETE FROM cell_drains WHERE cell_id = ${cellId}`.execute(this.#db);
    }
    return true;
  }

  /** By cell: instances and tasks it has. */
  async held(): Promise<Map<string, { instances: number; tasks: number }>> {
    const { rows } = await sql<{ cell_id: string; instances: number; tasks: number }>`
      SELECT cell_id, sum(instances)::integer AS instances, sum(tasks)::integer AS tasks FROM (
        SELECT cell_id, 1 AS instances, 0 AS tasks FROM actual_lrps WHERE cell_id <> ''
        UNION ALL SELECT cell_id, 1, 0 FROM evacuating_lrps
        UNION ALL SELECT cell_id, 0, 1 FROM tasks WHERE state = 'RUNNING') all_work GROUP BY cell_id`.execute(this.#db);
    return new Map(rows.map(({ cell_id, instances, tasks }) => [cell_id, { instances, tasks }]));
  }

  /** Every cell that is to be drained, also those that are lost. */
  async draining(): Promise<string[]> {
    const { rows } = await sql<{ cell_id: string }>`SELECT cell_id FROM cell_drains ORDER BY cell_id`.execute(this.#db);
    return rows.map((row) => row.cell_id);
  }
}

function presenceOf(row: CellRow): CellPresence {
  return create(CellPresenceSchema, {
    cellId: row.cell_id,
    zone: row.zone,
    repUrl: row.rep_url,
    memoryMb: row.memory_mb,
    diskMb: row.disk_mb,
    containers: row.containers,
    stacks: row.stacks,
    placementTags: row.placement_tags,
    lastSeenNs: BigInt(row.last_seen_ms) * 1_000_000n,
    address: row.address,
    draining: row.draining,
  });
}
