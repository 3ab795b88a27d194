import { create } from '@bufbuild/protobuf';
import { type InstanceStats, InstanceStatsSchema } from '../contracts/gen/diego_pb.js';
import type { ActualLrpStore } from './actual-lrps/store.ts';
import type { CellStore } from './cells/store.ts';
import { inParallel, type Reps } from './reps.ts';
import type { DiegoSettings } from './settings.ts';

/** Asks the cells what the instances of a process use, all cells at once. A cell that does not answer in time gives none. */
export async function instanceStats(
  processGuid: string,
  options: { actualLrps: ActualLrpStore; cells: CellStore; reps: Reps; settings: DiegoSettings; clock: () => number },
): Promise<InstanceStats[]> {
  const { actualLrps, cells, reps, settings, clock } = options;
  const indices = new Map<string, number>();
  const byCell = new Map<string, string[]>();
  for (const lrp of await actualLrps.list([processGuid])) {
    if (lrp.state !== 'RUNNING') continue;
    indices.set(lrp.instanceGuid, lrp.index);
    byCell.set(lrp.cellId, [...(byCell.get(lrp.cellId) ?? []), lrp.instanceGuid]);
  }
  const live = (await cells.live(clock())).filter(({ cellId }) => byCell.has(cellId));
  const stats: InstanceStats[] = [];
  await inParallel(live, 64, async (cell) => {
    try {
      const instanceGuids = byCell.get(cell.cellId)!;
      const answer = await reps.of(cell).instanceStats({ instanceGuids }, { timeoutMs: settings.statsTimeoutMs });
      for (const one of answer.stats) {
        const index = indices.get(one.instanceGuid);
        if (index !== undefined) stats.push(create(InstanceStatsSchema, { ...one, index }));
      }
    } catch {
      // No figures are a truer answer than old ones; the heartbeat says whether the cell is lost.
    }
  });
  return stats.toSorted((a, b) => a.index - b.index);
}
