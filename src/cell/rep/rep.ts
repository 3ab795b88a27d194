import { randomUUID } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import {
  type CellPresence,
  CellPresenceSchema,
  type CellState,
  CellStateSchema,
  type EgressRule,
  type InstanceStats,
  type LrpStart,
  type StopLrpRequest,
  type Task,
  type Work,
  WorkSchema,
} from '../../contracts/gen/diego_pb.js';
import type { LogNames } from '../../contracts/log-envelopes.ts';
import { messageOf } from '../../kit/errors.ts';
import { createLimiter } from '../../kit/limiter.ts';
import type { Container } from '../garden/garden.ts';
import type { SshTarget } from '../ssh/service.ts';
import type { RepContext } from './collaborators.ts';
import { purposeOf } from './container-properties.ts';
import { dropletLayerKey } from './droplets.ts';
import { LrpInstance } from './lrp-instance.ts';
import { completeTask, isStaging, type TaskContext, TaskRun } from './task-run.ts';

/** What the cell says of itself. */
export interface CellFacts {
  zone: string;
  repUrl: string;
  stacks: readonly string[];
  placementTags: readonly string[];
}

/** The instances and tasks of one cell (DGO-01): takes work, carries it out, and keeps in step with the registry (DGO-03). */
export class Rep {
  readonly #context: RepContext;
  readonly #tasksContext: TaskContext;
  readonly #facts: CellFacts;
  readonly #instances = new Map<string, LrpInstance>();
  readonly #tasks = new Map<string, TaskRun>();
  readonly #reporting = createLimiter(16);
  /** Until it knows what runs already it takes nothing. */
  #ready = false;

  constructor(context: RepContext, tasks: TaskContext, facts: CellFacts) {
    this.#context = context;
    this.#tasksContext = tasks;
    this.#facts = facts;
  }

  presence(): CellPresence {
    const { total } = this.#context.capacity;
    return create(CellPresenceSchema, {
      cellId: this.#context.cellId,
      zone: this.#facts.zone,
      repUrl: this.#facts.repUrl,
      memoryMb: total.memoryMb,
      diskMb: total.diskMb,
      containers: total.containers,
      stacks: [...this.#facts.stacks],
      placementTags: [...this.#facts.placementTags],
      lastSeenNs: BigInt(this.#context.now()) * 1_000_000n,
      address: this.#context.address,
    });
  }

  state(): CellState {
    const free = this.#context.capacity.available();
    const instances = [...this.#instances.values()];
    return create(CellStateSchema, {
      presence: this.presence(),
      availableMemoryMb: free.memoryMb,
      availableDiskMb: free.diskMb,
      availableContainers: free.containers,
      startingContainers: instances.filter(({ state }) => ['reserved', 'creating', 'starting'].includes(state)).length,
      lrps: instances
        .filter(({ state }) => state !== 'finished' && state !== 'ending')
        .map(({ processGuid, index, instanceGuid }) => ({ processGuid, index, instanceGuid })),
      taskGuids: [...this.#tasks.keys()],
      draining: !this.#ready,
    });
  }

  /** Books room for what fits and begins it; gives back the rest. */
  perform(work: Work): Work {
    return create(WorkSchema, {
      lrpStarts: work.lrpStarts.filter((start) => !this.#takeLrp(start)),
      tasks: work.tasks.filter((task) => !this.#takeTask(task)),
    });
  }

  /** True when it stops an instance; false when there is none such here. */
  stopLrp(request: StopLrpRequest): boolean {
    const instance = request.instanceGuid
      ? this.#instances.get(request.instanceGuid)
      : this.#find(request.processGuid, request.index);
    instance?.stop();
    return instance !== undefined;
  }

  cancelTask(taskGuid: string): void {
    this.#tasks.get(taskGuid)?.cancel();
  }

  async updateEgressRules(processGuid: string, rules: EgressRule[]): Promise<void> {
    await Promise.all(this.#ofProcess(processGuid).map((instance) => instance.setEgressRules(rules)));
  }

  async updateNames(processGuid: string, names: LogNames): Promise<void> {
    await Promise.all(this.#ofProcess(processGuid).map((instance) => instance.rename(names)));
  }

  /** Of the instances named; of all when none is. */
  async instanceStats(guids: readonly string[]): Promise<InstanceStats[]> {
    const wanted = guids.length === 0 ? [...this.#instances.keys()] : guids;
    const stats = await Promise.all(
      wanted.map((guid) =>
        this.#instances
          .get(guid)
          ?.stats()
          .catch(() => null),
      ),
    );
    return stats.filter((one) => one !== null && one !== undefined);
  }

  /** Where a session of `cf ssh` goes; null where the instance is not here or not up. */
  sshTarget(instanceGuid: string): SshTarget | null {
    return this.#instances.get(instanceGuid)?.sshTarget() ?? null;
  }

  async emitMetrics(): Promise<void> {
    await Promise.allSettled([...this.#instances.values()].map((instance) => instance.emitMetrics()));
  }

  /** When the instance certificate that ends first does (milliseconds), and how many there are. */
  credentials(): { count: number; earliestEnd: number | null } {
    const ends = [...this.#instances.values(), ...this.#tasks.values()].flatMap((one) => one.credentialsExpireAt ?? []);
    return { count: ends.length, earliestEnd: ends.length === 0 ? null : Math.min(...ends) };
  }

  /** New certificates for all that runs. Those that failed are tried again by themselves. */
  async renewCredentials(): Promise<{ renewed: number; failed: number }> {
    const all = [...this.#instances.values(), ...this.#tasks.values()];
    const outcomes = await Promise.allSettled(all.map((one) => this.#context.creating(() => one.renewCredentials())));
    const failed = outcomes.filter(({ status }) => status === 'rejected').length;
    return { renewed: outcomes.length - failed, failed };
  }

  /** Takes over what an earlier process of this cell left running, without needing the registry. */
  async adopt(): Promise<void> {
    for (const container of await this.#context.garden.list()) {
      const purpose = purposeOf(container.properties);
      if (purpose?.kind === 'lrp') {
        const { desired, index, instanceGuid } = purpose;
        this.#context.capacity.adopt(instanceGuid, desired.memoryMb, desired.diskMb);
        const instance = new LrpInstance(this.#context, desired, index, instanceGuid);
        this.#keepInstance(instance, instance.adopt(container));
      } else if (purpose?.kind === 'task' && purpose.task.work.case === 'command') {
        this.#context.capacity.adopt(purpose.task.taskGuid, purpose.task.memoryMb, purpose.task.diskMb);
        const run = new TaskRun(this.#context, this.#tasksContext, purpose.task);
        this.#keepTask(run, run.adopt(container));
      } else if (purpose?.kind === 'staging' || purpose?.kind === 'trust') {
        // Nobody carries these on: staging begins anew when the registry says that it should be running.
        await this.#context.garden.destroy(container.handle);
      }
    }
    for (const result of await this.#tasksContext.results.kept()) {
      void completeTask(this.#context, this.#tasksContext.results, result).catch(() => {});
    }
    this.#ready = true;
  }

  /** One comparison of what Garden has, what this process knows and what the registry thinks. */
  async reconcile(): Promise<void> {
    await this.#removeStrays();
    const { registry, cellId } = this.#context;
    const before = [...this.#instances.values()].filter(({ state }) => state === 'running');
    const namesBefore = new Map([...this.#instances].map(([guid, { names }]) => [guid, names]));
    const tasksBefore = [...this.#tasks.values()].filter(({ accepted }) => accepted);
    const [{ actualLrps }, { tasks }] = await Promise.all([
      registry.actualLrpsOfCell({ cellId }),
      registry.tasksOfCell({ cellId }),
    ]);
    const known = new Map(actualLrps.map((actual) => [actual.instanceGuid, actual]));
    for (const actual of actualLrps) {
      if ((actual.state === 'CLAIMED' || actual.state === 'RUNNING') && !this.#instances.has(actual.instanceGuid)) {
        this.#context.log.warn('the registry has an instance this cell has not', { instanceGuid: actual.instanceGuid });
        await registry.removeActualLrp(actual);
      }
    }
    const unknown = before.filter(({ instanceGuid, routable }) => {
      const actual = known.get(instanceGuid);
      return actual?.state !== 'RUNNING' || (actual.routable ?? true) !== routable;
    });
    await Promise.all(unknown.map((instance) => this.#reporting(() => instance.reportRunning())));
    for (const { instanceGuid, names } of actualLrps) {
      // A rename that this cell missed; what it was told since it asked is newer than the answer.
      const instance = this.#instances.get(instanceGuid);
      if (names && instance && instance.names === namesBefore.get(instanceGuid)) await instance.rename(names);
    }
    const wanted = new Set(tasks.map(({ taskGuid }) => taskGuid));
    for (const task of tasksBefore) if (!wanted.has(task.taskGuid)) task.cancel(); // failed while this cell was away
    await this.#resumeTasks(tasks);
    await this.#pruneLayers();
  }

  /** Watches nothing any more; containers stay. */
  detach(): void {
    this.#ready = false;
    for (const instance of this.#instances.values()) instance.detach();
    for (const task of this.#tasks.values()) task.detach();
  }

  #takeLrp({ desiredLrp, index }: LrpStart): boolean {
    if (!this.#ready || !desiredLrp || !this.#facts.stacks.includes(desiredLrp.stack)) return false;
    const held = this.#find(desiredLrp.processGuid, index);
    if (held) {
      // Asked for twice, or by a registry that does not know that it runs.
      void this.#reporting(() => held.reportRunning()).catch(() => {}); // the cell closes
      return true;
    }
    const instanceGuid = randomUUID();
    if (!this.#context.capacity.reserve(instanceGuid, desiredLrp.memoryMb, desiredLrp.diskMb)) return false;
    const instance = new LrpInstance(this.#context, desiredLrp, index, instanceGuid);
    this.#keepInstance(instance, instance.run());
    return true;
  }

  #takeTask(task: Task): boolean {
    if (!this.#ready || !this.#facts.stacks.includes(task.stack)) return false;
    if (this.#tasks.has(task.taskGuid)) return true;
    if (!this.#context.capacity.reserve(task.taskGuid, task.memoryMb, task.diskMb)) return false;
    const run = new TaskRun(this.#context, this.#tasksContext, task);
    this.#keepTask(run, run.run());
    return true;
  }

  #ofProcess(processGuid: string): LrpInstance[] {
    return [...this.#instances.values()].filter((instance) => instance.processGuid === processGuid);
  }

  /** The instance that holds this place and is not on its way out. */
  #find(processGuid: string, index: number): LrpInstance | undefined {
    return [...this.#instances.values()].find(
      (instance) =>
        instance.processGuid === processGuid &&
        instance.index === index &&
        instance.state !== 'ending' &&
        instance.state !== 'finished',
    );
  }

  #keepInstance(instance: LrpInstance, life: Promise<void>): void {
    this.#instances.set(instance.instanceGuid, instance);
    void life.then(() => this.#instances.delete(instance.instanceGuid));
  }

  #keepTask(run: TaskRun, life: Promise<void>): void {
    this.#tasks.set(run.taskGuid, run);
    void life
      .catch((error: unknown) => this.#context.log.error('a task ended badly', { error: messageOf(error) }))
      .then(() => this.#tasks.delete(run.taskGuid));
  }

  /** Containers of the rep's that nobody knows any more: what a failed `destroy` or a killed process left. */
  async #removeStrays(): Promise<void> {
    const containers = await this.#context.garden.list();
    const strays = containers.filter((container) => this.#isStray(container));
    for (const { handle } of strays) {
      this.#context.log.warn('a container nobody wants is removed', { handle });
      await this.#context.garden.destroy(handle);
      await this.#context.credentials.remove(handle);
    }
  }

  #isStray(container: Container): boolean {
    const kind = purposeOf(container.properties)?.kind;
    return (
      (kind === 'lrp' && !this.#instances.has(container.handle)) ||
      ((kind === 'task' || kind === 'staging') && !this.#tasks.has(container.handle))
    );
  }

  /** Tasks the registry counts as running here and that no process of this cell carries on. */
  async #resumeTasks(tasks: readonly Task[]): Promise<void> {
    const kept = new Set((await this.#tasksContext.results.kept()).map(({ taskGuid }) => taskGuid));
    for (const task of tasks) {
      if (task.state !== 'RUNNING' || this.#tasks.has(task.taskGuid) || kept.has(task.taskGuid)) continue;
      if (isStaging(task)) {
        this.#context.capacity.adopt(task.taskGuid, task.memoryMb, task.diskMb);
        const run = new TaskRun(this.#context, this.#tasksContext, task);
        this.#keepTask(run, run.restage());
        continue;
      }
      const failureReason = 'The cell restarted and the task was lost';
      const { cellId } = this.#context;
      await this.#context.registry.completeTask({ taskGuid: task.taskGuid, cellId, failed: true, failureReason });
    }
  }

  async #pruneLayers(): Promise<void> {
    const digests = [...this.#instances.values(), ...this.#tasks.values()].map(({ dropletSha256 }) => dropletSha256);
    await this.#context.garden.prune(digests.filter((digest) => digest !== '').map(dropletLayerKey));
  }
}
