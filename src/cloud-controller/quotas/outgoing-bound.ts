import { sql } from 'kysely';
import type { Db, Trx } from '../database.ts';
import type { Guid } from '../guid.ts';
import type { Limits } from './enforce.ts';
import { type Committed, type ServingOutgoing, servingOutgoing } from './usage.ts';

/**
 * What serves until it is replaced has what the quota leaves: where `committed` has come to need it, instances of it end
 * early, of the oldest versions first. So it holds nobody up, and what runs is never more than the quota (SECURITY 30).
 */
export async function boundOutgoing(
  trx: Trx,
  limits: Limits,
  committed: Committed,
  organizationGuid: Guid<'organization'>,
  spaceGuid?: Guid<'space'>,
): Promise<void> {
  const room = {
    instances: leaves(limits.total_instances, committed.instances),
    memoryMb: leaves(limits.total_memory_mb, committed.memoryMb),
    logRate: leaves(limits.log_rate_bytes_per_second, committed.logRate),
  };
  for (const lrp of await servingOutgoing(trx, organizationGuid, spaceGuid)) {
    const kept = Math.min(lrp.instances, fitting(lrp, room));
    room.instances -= kept;
    room.memoryMb -= kept * lrp.memory_mb;
    room.logRate -= kept * Math.max(lrp.log_rate_limit, 0);
    if (kept === lrp.instances) continue;
    if (kept === 0) await trx.deleteFrom('outgoing_lrps').where('lrp_guid', '=', lrp.lrp_guid).execute();
    else await keepAtMost(trx, lrp.lrp_guid, kept);
  }
}

/** What is outgoing only becomes less: whoever worked out how much stays from what there was before gives nothing back. */
export async function keepAtMost(db: Db, lrpGuid: string, instances: number): Promise<void> {
  await db
    .updateTable('outgoing_lrps')
    .set({ instances: sql<number>`least(instances, ${instances}::integer)` })
    .where('lrp_guid', '=', lrpGuid)
    .execute();
}

interface Room {
  instances: number;
  memoryMb: number;
  logRate: number;
}

function leaves(limit: number | null, used: number): number {
  return limit === null ? Number.POSITIVE_INFINITY : Math.max(0, limit - used);
}

function fitting({ memory_mb: memory, log_rate_limit: rate }: ServingOutgoing, room: Room): number {
  if (rate === -1 && room.logRate !== Number.POSITIVE_INFINITY) return 0;
  const times = (left: number, each: number): number =>
    each <= 0 ? Number.POSITIVE_INFINITY : Math.floor(left / each);
  return Math.min(times(room.instances, 1), times(room.memoryMb, memory), times(room.logRate, rate));
}
