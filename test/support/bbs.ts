import { clone, create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import {
  type ActualLrp,
  Bbs,
  type DesiredLrp,
  DesiredLrpSchema,
  type InstanceStats,
  type Task,
  TaskSchema,
} from '../../src/contracts/gen/diego_pb.js';
import { client, inMemoryTransport } from '../../src/kit/rpc.ts';

/** A BBS of a test over the typed contract: it remembers what it is told and can be away. */
export class TestBbs {
  readonly lrps = new Map<string, DesiredLrp>();
  readonly tasks = new Map<string, Task>();
  readonly cancelled: string[] = [];
  readonly retired: string[] = [];
  readonly calls: string[] = [];
  actual: ActualLrp[] = [];
  stats: InstanceStats[] = [];
  away = false;

  readonly client = client(
    Bbs,
    inMemoryTransport(({ service }) => {
      const note = (call: string): void => {
        if (this.away) throw new ConnectError('Diego is away', Code.Unavailable);
        this.calls.push(call);
      };
      service(Bbs, {
        desireLrp: (lrp) => {
          note('desireLrp');
          this.lrps.set(lrp.processGuid, clone(DesiredLrpSchema, lrp));
          return {};
        },
        updateDesiredLrp: (change) => {
          note('updateDesiredLrp');
          const lrp = this.lrps.get(change.processGuid);
          if (!lrp) throw new ConnectError('unknown', Code.NotFound);
          if (change.instances !== undefined) lrp.instances = change.instances;
          if (change.annotation !== undefined) lrp.annotation = change.annotation;
          if (change.setRoutes) lrp.routes = change.routes;
          if (change.setEgressRules) lrp.egressRules = change.egressRules;
          return {};
        },
        removeDesiredLrp: ({ processGuid }) => {
          note('removeDesiredLrp');
          if (!this.lrps.delete(processGuid)) throw new ConnectError('unknown', Code.NotFound);
          return {};
        },
        desiredLrps: () => {
          note('desiredLrps');
          const shown = [...this.lrps.values()].map(({ processGuid, instances, annotation, routes, owner }) =>
            create(DesiredLrpSchema, { processGuid, instances, annotation, routes, ...(owner ? { owner } : {}) }),
          );
          return { desiredLrps: shown };
        },
        actualLrps: ({ processGuids }) => {
          note('actualLrps');
          const all = processGuids.length === 0;
          return { actualLrps: this.actual.filter((lrp) => all || processGuids.includes(lrp.processGuid)) };
        },
        instanceStats: () => {
          note('instanceStats');
          return { stats: this.stats };
        },
        retireActualLrp: ({ processGuid, index }) => {
          note('retireActualLrp');
          this.retired.push(`${processGuid}/${index}`);
          return {};
        },
        desireTask: (task) => {
          note('desireTask');
          this.tasks.set(task.taskGuid, clone(TaskSchema, task));
          return {};
        },
        cancelTask: ({ taskGuid }) => {
          note('cancelTask');
          this.cancelled.push(taskGuid);
          return {};
        },
        tasks: ({ domain }) => {
          note('tasks');
          return { tasks: [...this.tasks.values()].filter((task) => domain === '' || task.domain === domain) };
        },
        deleteTask: ({ taskGuid }) => {
          note('deleteTask');
          this.tasks.delete(taskGuid);
          return {};
        },
      });
    }),
  );
}
