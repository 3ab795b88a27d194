import { Code, ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import type { ActualLrp, CellRegistry } from '../contracts/gen/diego_pb.js';
import { peerDnsNames } from '../kit/rpc.ts';
import type { Diego } from './diego.ts';

/** What the cells report (DGO-05). A cell speaks for itself alone: its certificate must carry the id it names. */
export function cellRegistryService(diego: Diego): ServiceImpl<typeof CellRegistry> {
  const { actualLrps, desiredLrps, tasks, cells, changes, clock } = diego;
  const refused = (lrp: ActualLrp): ConnectError =>
    new ConnectError(
      `instance ${lrp.index} of ${lrp.processGuid} is not this cell's or not wanted`,
      Code.FailedPrecondition,
    );
  return {
    heartbeat: async (presence, context) => {
      speaksForItself(presence.cellId, context);
      const isNew = await cells.heartbeat(presence, clock());
      if (isNew) {
        diego.log.info('a cell joined', { cell: presence.cellId, zone: presence.zone });
        changes.publish({ work: true });
        diego.wakeAuction();
      }
      return { returned: isNew };
    },

    claimActualLrp: async (lrp, context) => {
      speaksForItself(lrp.cellId, context);
      if (!(await actualLrps.claim(lrp, clock()))) throw refused(lrp);
      changes.publish({ processGuid: lrp.processGuid });
      return {};
    },

    startActualLrp: async (lrp, context) => {
      speaksForItself(lrp.cellId, context);
      const start = await actualLrps.start(lrp, clock());
      if (!start) throw refused(lrp);
      if (start.readinessChanged) {
        await diego.notices.readinessChanged(lrp, start.routable);
        diego.wakeNotices();
      }
      changes.publish({ processGuid: lrp.processGuid });
      return {};
    },

    crashActualLrp: async (lrp, context) => {
      speaksForItself(lrp.cellId, context);
      const crash = await actualLrps.crash(lrp, clock());
      if (!crash) throw refused(lrp);
      changes.publish({ processGuid: lrp.processGuid, work: true });
      if (crash.restartAtMs === null) return {}; // it was being stopped: nobody waits for it
      diego.wakeNotices();
      diego.wakeAuction();
      return {};
    },

    removeActualLrp: async (lrp, context) => {
      speaksForItself(lrp.cellId, context);
      await actualLrps.remove(lrp, clock());
      changes.publish({ processGuid: lrp.processGuid, work: true });
      diego.wakeAuction(); // the instance is placed again where it is still wanted; and there is room now for others
      return {};
    },

    actualLrpsOfCell: async ({ cellId }, context) => {
      speaksForItself(cellId, context);
      const lrps = await actualLrps.ofCell(cellId);
      const names = await desiredLrps.names(lrps.map(({ processGuid }) => processGuid));
      return { actualLrps: lrps.map((lrp) => ({ ...lrp, names: names.get(lrp.processGuid) })) };
    },

    tasksOfCell: async ({ cellId }, context) => {
      speaksForItself(cellId, context);
      return { tasks: await tasks.ofCell(cellId) };
    },

    startTask: async ({ taskGuid, cellId }, context) => {
      speaksForItself(cellId, context);
      if (!(await tasks.start(taskGuid, cellId))) {
        throw new ConnectError(`task ${taskGuid} is not this cell's or is over`, Code.FailedPrecondition);
      }
      changes.publish({ taskGuid });
      return {};
    },

    completeTask: async (report, context) => {
      speaksForItself(report.cellId, context);
      if (!(await tasks.complete(report))) {
        if (!(await tasks.find(report.taskGuid))) throw new ConnectError('there is no such task', Code.NotFound);
        throw new ConnectError(`task ${report.taskGuid} is not this cell's`, Code.FailedPrecondition);
      }
      changes.publish({ taskGuid: report.taskGuid, work: true });
      diego.wakeCompletions();
      diego.wakeAuction();
      return {};
    },
  };
}

function speaksForItself(cellId: string, context: HandlerContext): void {
  if (cellId === '') throw new ConnectError('a cell must say who it is', Code.InvalidArgument);
  const names = context.values.get(peerDnsNames);
  if (names !== null && !names.includes(cellId)) {
    throw new ConnectError(`the peer is not cell ${cellId}`, Code.PermissionDenied);
  }
}
