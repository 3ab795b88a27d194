import { create } from '@bufbuild/protobuf';
import type { Client, ServiceImpl } from '@connectrpc/connect';
import {
  ActualLrpSchema,
  type CellRegistry,
  EmptySchema,
  InstanceStatsResponseSchema,
  type Rep as RepService,
} from '../../contracts/gen/diego_pb.js';
import type { Rep } from './rep.ts';

/** The Rep service of the contract over the rep. */
export function repService(
  rep: Rep,
  cellId: string,
  registry: Client<typeof CellRegistry>,
): ServiceImpl<typeof RepService> {
  return {
    state: () => rep.state(),
    perform: (work) => rep.perform(work),
    async stopLrp(request) {
      if (!rep.stopLrp(request) && request.instanceGuid) {
        // It is gone already; the registry is told what it waits for.
        const { processGuid, index, instanceGuid } = request;
        await registry.removeActualLrp(create(ActualLrpSchema, { processGuid, index, instanceGuid, cellId }));
      }
      return create(EmptySchema);
    },
    cancelTask({ taskGuid }) {
      rep.cancelTask(taskGuid);
      return create(EmptySchema);
    },
    async updateEgressRules({ processGuid, egressRules }) {
      await rep.updateEgressRules(processGuid, egressRules);
      return create(EmptySchema);
    },
    async updateNames({ processGuid, names }) {
      if (names) await rep.updateNames(processGuid, names);
      return create(EmptySchema);
    },
    async instanceStats({ instanceGuids }) {
      return create(InstanceStatsResponseSchema, { stats: await rep.instanceStats(instanceGuids) });
    },
  };
}
