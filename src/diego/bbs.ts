import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect';
import type { Bbs, UpdateDesiredLrpRequest } from '../contracts/gen/diego_pb.js';
import { messageOf } from '../kit/errors.ts';
import { routingTable } from './desired-lrps/routing-table.ts';
import type { Diego } from './diego.ts';
import { inParallel } from './reps.ts';
import { instanceStats } from './stats.ts';

/** What the Cloud Controller, the router and the route emitter ask (DGO-02). */
export function bbsService(diego: Diego): ServiceImpl<typeof Bbs> {
  const { desiredLrps, actualLrps, tasks, cells, changes, clock } = diego;
  return {
    desireLrp: async (lrp) => {
      if (lrp.processGuid === '') throw new ConnectError('an LRP needs a process guid', Code.InvalidArgument);
      await desiredLrps.desire(lrp, clock());
      changes.publish({ processGuid: lrp.processGuid, work: true });
      diego.wakeAuction();
      diego.inBackground('extra instances were not stopped', () => diego.converger.stopExtra(lrp.processGuid));
      return {};
    },

    updateDesiredLrp: async (request) => {
      if (!(await desiredLrps.update(request, clock()))) {
        throw new ConnectError(`no LRP ${request.processGuid} is desired`, Code.NotFound);
      }
      changes.publish({ processGuid: request.processGuid, work: request.instances !== undefined });
      if (request.instances !== undefined) {
        diego.wakeAuction();
        diego.inBackground('extra instances were not stopped', () => diego.converger.stopExtra(request.processGuid));
      }
      if (request.setEgressRules) {
        diego.inBackground('egress rules were not passed on', () => passOnEgressRules(diego, request));
      }
      return {};
    },

    removeDesiredLrp: async ({ processGuid }) => {
      await desiredLrps.remove(processGuid);
      changes.publish({ processGuid });
      diego.inBackground('instances were not stopped', () => diego.converger.stopExtra(processGuid));
      return {};
    },

    desiredLrps: async () => ({ desiredLrps: await desiredLrps.list() }),
    actualLrps: async ({ processGuids }) => ({ actualLrps: await actualLrps.list(processGuids) }),
    instanceStats: async ({ processGuid }) => ({ stats: await instanceStats(processGuid, diego) }),

    retireActualLrp: async ({ processGuid, index }) => {
      const lrp = await actualLrps.find(processGuid, index);
      if (!lrp) throw new ConnectError(`there is no instance ${index} of ${processGuid}`, Code.NotFound);
      if (lrp.state === 'CRASHED') {
        await actualLrps.restartCrashed(processGuid, index, clock());
        changes.publish({ processGuid, work: true });
        diego.wakeAuction();
      }
      const cell = lrp.cellId === '' ? null : await cells.find(lrp.cellId);
      if (cell) {
        const { instanceGuid } = lrp;
        await diego.reps
          .of(cell)
          .stopLrp({ processGuid, index, instanceGuid }, { timeoutMs: diego.settings.repTimeoutMs });
      }
      return {};
    },

    desireTask: async (task) => {
      if (task.taskGuid === '') throw new ConnectError('a task needs a guid', Code.InvalidArgument);
      if (task.work.case === undefined) throw new ConnectError('a task needs work', Code.InvalidArgument);
      await tasks.desire(task, clock());
      changes.publish({ taskGuid: task.taskGuid, work: true });
      diego.wakeAuction();
      return {};
    },

    cancelTask: async ({ taskGuid }) => {
      const cancelled = await tasks.cancel(taskGuid);
      if (!cancelled) {
        if (await tasks.find(taskGuid)) return {}; // over already
        throw new ConnectError(`there is no task ${taskGuid}`, Code.NotFound);
      }
      changes.publish({ taskGuid });
      diego.wakeCompletions();
      const cell = cancelled.cellId === '' ? null : await cells.find(cancelled.cellId);
      if (cell) {
        diego.inBackground('a task was not cancelled on its cell', async () => {
          await diego.reps.of(cell).cancelTask({ taskGuid }, { timeoutMs: diego.settings.repTimeoutMs });
        });
      }
      return {};
    },

    tasks: async ({ domain }) => ({ tasks: await tasks.list(domain) }),

    deleteTask: async ({ taskGuid }) => {
      if (!(await tasks.delete(taskGuid))) {
        throw new ConnectError(`task ${taskGuid} still goes on`, Code.FailedPrecondition);
      }
      return {};
    },

    routingTable: async () => ({ entries: await routingTable(diego.db) }),
    cells: async () => ({ cells: await cells.live(clock()) }),
  };
}

/** Egress rules change on running instances; a cell that misses the call takes them with its next start of the LRP. */
async function passOnEgressRules(diego: Diego, { processGuid, egressRules }: UpdateDesiredLrpRequest): Promise<void> {
  const holding = new Set((await diego.actualLrps.list([processGuid])).map(({ cellId }) => cellId));
  const live = (await diego.cells.live(diego.clock())).filter(({ cellId }) => holding.has(cellId));
  await inParallel(live, 64, async (cell) => {
    try {
      await diego.reps
        .of(cell)
        .updateEgressRules({ processGuid, egressRules }, { timeoutMs: diego.settings.repTimeoutMs });
    } catch (error) {
      diego.log.error('a cell did not take new egress rules', {
        cell: cell.cellId,
        process: processGuid,
        error: messageOf(error),
      });
    }
  });
}
