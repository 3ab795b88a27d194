import { clone, create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import {
  type ActualLrp,
  Bbs,
  type DesiredLrp,
  DesiredLrpSchema,
  type InstanceStats,
  type OwnerNames,
  type Task,
  TaskSchema,
  type UpdateDesiredLrpRequest,
} from '../../src/contracts/gen/diego_pb.js';
import { client, inMemoryTransport } from '../../src/kit/rpc.ts';

/** A BBS of a test over the typed contract: it remembers what it is told and can be away. */
export class TestBbs {
  readonly lrps = new Map<string, DesiredLrp>();
  readonly tasks = new Map<string, Task>();
  readonly cancelled: string[] = [];
  readonly retired: string[] = [];
  readonly calls: string[] = [];
  readonly updates: UpdateDesiredLrpRequest[] = [];
  actual: ActualLrp[] = [];
  stats: InstanceStats[] = [];
  away = false;
  /** What happens while it is asked for instances. */
  meanwhile: (processGuids: readonly string[]) => Promise<void> = async () => {};
  /** What happens when it has looked which tasks there are in a domain. */
  afterTasks: (domain: string) => Promise<void> = async () => {};
  /** Cells give no figures. */
  cellsAway = false;

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
          this.updates.push(change);
          const lrp = this.lrps.get(change.processGuid);
          if (!lrp) throw new ConnectError('unknown', Code.NotFound);
          if (change.instances !== undefined) lrp.instances = change.instances;
          if (change.annotation !== undefined) lrp.annotation = change.annotation;
          if (change.setRoutes) lrp.routes = change.routes;
          if (change.setEgressRules) lrp.egressRules = change.egressRules;
          if (lrp.owner && change.names) lrp.owner = { ...lrp.owner, ...plain(change.names) };
          return {};
        },
        removeDesiredLrp: ({ processGuid }) => {
          note('removeDesiredLrp');
          if (!this.lrps.delete(processGuid)) throw new ConnectError('unknown', Code.NotFound);
          return {};
        },
        desiredLrps: ({ appGuids, group }) => {
          note('desiredLrps');
          const isAsked = ({ owner }: DesiredLrp): boolean =>
            (appGuids.length === 0 || appGuids.includes(owner?.appGuid ?? '')) &&
            (group === undefined || (owner?.appGuid ?? '').slice(0, 3) === group);
          const shown = [...this.lrps.values()]
            .filter(isAsked)
            .map(({ processGuid, instances, annotation, routes, owner }) =>
              create(DesiredLrpSchema, { processGuid, instances, annotation, routes, ...(owner ? { owner } : {}) }),
            );
          return { desiredLrps: shown };
        },
        // It does not know, so that each group is read.
        desiredLrpFingerprints: ({ from, before }) => {
          note('desiredLrpFingerprints');
          const apps = [...this.lrps.values()].map(({ owner }) => owner?.appGuid ?? '');
          const asked = apps.filter((app) => app >= from && (before === undefined || app < before));
          return { byGroup: Object.fromEntries(asked.map((app) => [app.slice(0, 3), 'unknown'])) };
        },
        actualLrps: async ({ processGuids }) => {
          note('actualLrps');
          await this.meanwhile(processGuids);
          const all = processGuids.length === 0;
          return { actualLrps: this.actual.filter((lrp) => all || processGuids.includes(lrp.processGuid)) };
        },
        instanceStats: () => {
          note('instanceStats');
          if (this.cellsAway) throw new ConnectError('no cell answers', Code.Unavailable);
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
        tasks: async ({ domain }) => {
          note('tasks');
          const tasks = [...this.tasks.values()].filter((task) => domain === '' || task.domain === domain);
          await this.afterTasks(domain);
          return { tasks };
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

function plain({ appName, spaceName, organizationName }: OwnerNames) {
  return { appName, spaceName, organizationName };
}
