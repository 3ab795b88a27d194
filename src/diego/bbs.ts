import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect';
import type { Bbs } from '../contracts/gen/diego_pb.js';
import { messageOf } from '../kit/errors.ts';
import { allRoutes, namedRoutes, pageOfFingerprints, pageOfRoutes } from './desired-lrps/routing-table.ts';
import type { Diego } from './diego.ts';
import { inParallel, type RepClient } from './reps.ts';
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
      const { processGuid, egressRules, names } = request;
      const within = { timeoutMs: diego.settings.repTimeoutMs };
      if (request.setEgressRules) {
        passOn(diego, processGuid, 'egress rules', (rep) =>
          rep.updateEgressRules({ processGuid, egressRules }, within),
        );
      }
      if (names) passOn(diego, processGuid, 'names', (rep) => rep.updateNames({ processGuid, names }, within));
      return {};
    },

    removeDesiredLrp: async ({ processGuid }) => {
      await desiredLrps.remove(processGuid);
      changes.publish({ processGuid });
      diego.inBackground('instances were not stopped', () => diego.converger.stopExtra(processGuid));
      return {};
    },

    desiredLrps: async ({ appGuids, group }) => ({ desiredLrps: await desiredLrps.list(appGuids, group) }),
    desiredLrpFingerprints: async ({ from, before }) => ({
      byGroup: await desiredLrps.fingerprints(before === undefined ? { from } : { from, before }),
    }),
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

    routingTable: async ({ processGuids, atMost, after }) => {
      if (processGuids.length > 0) return { entries: await namedRoutes(diego.db, processGuids) };
      if (atMost > 0) return pageOfRoutes(diego.db, { atMost, after });
      return { entries: await allRoutes(diego.db) };
    },
    routingFingerprints: async ({ atMost, after, buckets }) => {
      if (atMost === 0) throw new ConnectError('a page has at least one LRP', Code.InvalidArgument);
      return pageOfFingerprints(diego.db, { atMost, after }, buckets);
    },
    cells: async () => ({ cells: await cells.live(clock()) }),
  };
}

/**
 * Tells every cell that has instances of the process what changed of them. A cell that misses the call takes egress rules
 * with its next start of the LRP, and names when it compares itself with the registry.
 */
function passOn(diego: Diego, processGuid: string, what: string, tell: (rep: RepClient) => Promise<unknown>): void {
  diego.inBackground(`${what} were not passed on`, async () => {
    const cells = await diego.actualLrps.cellsOf(processGuid);
    const live = (await diego.cells.live(diego.clock())).filter(({ cellId }) => cells.has(cellId));
    await inParallel(live, 64, async (cell) => {
      try {
        await tell(diego.reps.of(cell));
      } catch (error) {
        const isOlder = error instanceof ConnectError && error.code === Code.Unimplemented;
        const level = isOlder ? 'info' : 'error';
        diego.log[level](`a cell did not take new ${what}`, {
          cell: cell.cellId,
          process: processGuid,
          error: messageOf(error),
        });
      }
    });
  });
}
