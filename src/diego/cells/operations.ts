import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect';
import { type CellOperations, CellSummarySchema } from '../../contracts/gen/cell-operations_pb.js';
import { type CellPresence, CellPresenceSchema } from '../../contracts/gen/diego_pb.js';
import type { Diego } from '../diego.ts';

/** What an operator asks of the cells (HAV-01: a machine leaves without its apps being away). */
export function cellOperationsService(diego: Diego): ServiceImpl<typeof CellOperations> {
  const { cells, evacuation, clock, changes, log } = diego;
  return {
    setDraining: async ({ cellId, draining }) => {
      if (!(await cells.setDraining(cellId, draining, clock()))) {
        throw new ConnectError(`there is no cell ${cellId}`, Code.NotFound);
      }
      log.info(draining ? 'a cell is to be drained' : 'a cell is back in use', { cell: cellId });
      if (!draining) await evacuation.takeBack(clock());
      changes.publish({ work: true });
      diego.wake();
      return {};
    },

    list: async () => {
      const [live, draining, held, waiting] = await Promise.all([
        cells.live(clock()),
        cells.draining(),
        cells.held(),
        evacuation.waiting(),
      ]);
      const lost = draining.filter((id) => !live.some(({ cellId }) => cellId === id));
      const summary = (presence: CellPresence, isLive: boolean) =>
        create(CellSummarySchema, {
          presence,
          live: isLive,
          ...held.get(presence.cellId),
          waiting: waiting
            .filter(({ cellId }) => cellId === presence.cellId)
            .map(({ reason, instances }) => ({ reason, instances })),
        });
      return {
        cells: [
          ...live.map((presence) => summary(presence, true)),
          ...lost.map((cellId) => summary(create(CellPresenceSchema, { cellId, draining: true }), false)),
        ],
      };
    },
  };
}
