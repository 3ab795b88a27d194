import { create } from '@bufbuild/protobuf';
import { type CompleteTaskRequest, CompleteTaskRequestSchema, type Task } from '../../contracts/gen/diego_pb.js';
import type { LogOrigin } from '../../contracts/log-envelopes.ts';
import { blockSignal, linkSignals, onAbort } from '../../kit/abort.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import type { Container, ContainerProcess } from '../garden/garden.ts';
import { VALIDITY_MS } from '../identity/instance-identity.ts';
import { keepRenewed, type Renewal } from '../identity/renewal.ts';
import type { LineLog } from '../logs/line-log.ts';
import { cellOrigin } from '../logs/origins.ts';
import { LogRateLimit } from '../logs/rate-limit.ts';
import type { RepContext, StageTask } from './collaborators.ts';
import { containerLimits, giveIdentity } from './container-files.ts';
import { taskProperties } from './container-properties.ts';
import { exitReason, startFailure } from './endings.ts';
import { endProcess } from './graceful-stop.ts';
import { containerOf, prepareRunnable } from './runnable.ts';
import type { TaskResults } from './task-results.ts';

const TASK_PROCESS = 'task';

type Outcome = Pick<CompleteTaskRequest, 'failed' | 'failureReason' | 'result'>;

/** What runs tasks beside the rep's context. */
export interface TaskContext {
  stage: StageTask;
  results: TaskResults;
  /** Staging is heavy: a few of an organization at a time. The cell's memory bounds all of them. */
  staging: <T>(organizationGuid: string, body: () => Promise<T>) => Promise<T>;
}

/** One task from its reservation to the acknowledged result. */
export class TaskRun {
  readonly taskGuid: string;
  readonly #context: RepContext;
  readonly #tasks: TaskContext;
  readonly #task: Task;
  readonly #origin: LogOrigin;
  readonly #lines: LineLog;
  readonly #log: Logger;
  readonly #cancelling = new AbortController();
  readonly #detached = new AbortController();
  #renewal: Renewal | null = null;
  #accepted = false;

  constructor(context: RepContext, tasks: TaskContext, task: Task) {
    this.taskGuid = task.taskGuid;
    this.#context = context;
    this.#tasks = tasks;
    this.#task = task;
    this.#log = context.log.child('task', { taskGuid: task.taskGuid, domain: task.domain });
    const name = task.owner?.processType || task.taskGuid;
    const sourceType = isStaging(task) ? 'STG' : `APP/TASK/${name}`;
    this.#origin = cellOrigin(task.owner, { index: 0, guid: task.taskGuid }, sourceType, context.cellId);
    this.#lines = context.logs.lines(this.#origin);
  }

  /** The registry counts it as running here. */
  get accepted(): boolean {
    return this.#accepted;
  }

  get dropletSha256(): string {
    return this.#task.work.case === 'command' ? (this.#task.work.value.droplet?.sha256 ?? '') : '';
  }

  /** Never rejects; resolves when nothing of it is left and its result is acknowledged. */
  async run(): Promise<void> {
    const { reports, registry, cellId } = this.#context;
    const verdict = await reports
      .deliver(
        'task start',
        (signal) => registry.startTask({ taskGuid: this.taskGuid, cellId }, { signal }),
        this.#cancelling.signal,
      )
      .catch(() => 'cancelled' as const);
    if (verdict === 'refused' || this.#detached.signal.aborted) return this.#context.capacity.release(this.taskGuid);
    this.#accepted = true;
    await this.#carryThrough(() =>
      isStaging(this.#task) ? this.#stageInTurn() : this.#runCommand(() => this.#startCommand()),
    );
  }

  /** Goes on with a command whose container outlived the cell's last process. */
  async adopt(container: Container): Promise<void> {
    this.#accepted = true;
    await this.#carryThrough(() =>
      this.#runCommand(async () => {
        const process = (await container.processes()).find(({ id }) => id === TASK_PROCESS);
        if (!process) throw new Error('the cell ended before the command was started');
        const held = await this.#context.credentials.read(container.handle);
        this.#keepRenewed(container, held?.expiresAt ?? 0);
        return process;
      }),
    );
  }

  /** Does staging again that a restart of the cell cut off: the registry counts it as started already. */
  async restage(): Promise<void> {
    this.#accepted = true;
    await this.#context.garden.destroy(this.taskGuid);
    await this.#carryThrough(() => this.#stageInTurn());
  }

  #stageInTurn(): Promise<Outcome> {
    return this.#tasks.staging(this.#task.owner?.organizationGuid ?? '', () => this.#stage());
  }

  /** When its certificate ends (milliseconds); null while it has none. */
  get credentialsExpireAt(): number | null {
    return this.#renewal?.expiresAt ?? null;
  }

  /** New credentials now, for a certificate authority that changed. */
  async renewCredentials(): Promise<void> {
    await this.#renewal?.now();
  }

  cancel(): void {
    this.#cancelling.abort();
  }

  /** The cell process ends: a command's container stays, staging is done again by the next process. */
  detach(): void {
    this.#renewal?.stop();
    this.#detached.abort();
    this.#cancelling.abort();
  }

  async #carryThrough(work: () => Promise<Outcome>): Promise<void> {
    let outcome: Outcome;
    try {
      this.#cancelling.signal.throwIfAborted();
      outcome = await work();
    } catch (error) {
      if (!this.#cancelling.signal.aborted) this.#log.error('a task failed', { error: messageOf(error) });
      outcome = failure(this.#failureReason(error));
    }
    this.#renewal?.stop();
    if (this.#detached.signal.aborted) return;
    const { garden, credentials, logs, capacity, cellId } = this.#context;
    const result = create(CompleteTaskRequestSchema, { ...outcome, taskGuid: this.taskGuid, cellId });
    await this.#tasks.results.keep(result).catch((error: unknown) => {
      this.#log.warn('the result of a task could not be written down', { error: messageOf(error) });
    });
    // Whoever waits for the result need not wait for the container to go.
    const completed = this.#logRead()
      .then(() => completeTask(this.#context, this.#tasks.results, result))
      .catch(() => {}); // kept for the next process
    try {
      await garden.destroy(this.taskGuid);
      await credentials.remove(this.taskGuid);
    } catch (error) {
      this.#log.warn('a task left something behind', { error: messageOf(error) });
    }
    logs.forget(this.taskGuid, TASK_PROCESS);
    capacity.release(this.taskGuid);
    await completed;
  }

  /** Clients stop reading the log of a staging once they see that it ended: its last lines must be read before that. */
  async #logRead(): Promise<void> {
    if (isStaging(this.#task)) await this.#lines.readable(this.#cancelling.signal);
  }

  async #stage(): Promise<Outcome> {
    this.#cancelling.signal.throwIfAborted();
    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), (this.#task.timeoutSeconds || 900) * 1000);
    const { cellId } = this.#context;
    this.#lines.line(`Cell ${cellId} creating container for instance ${this.taskGuid}`);
    try {
      return await this.#tasks.stage({
        task: this.#task,
        signal: linkSignals(this.#cancelling.signal, timeout.signal).signal,
        log: (text, stderr) => this.#lines.line(text, stderr),
      });
    } catch (error) {
      if (timeout.signal.aborted) return failure('StagingTimeExpired: Staging time expired');
      throw error;
    } finally {
      clearTimeout(timer);
      this.#lines.line(`Cell ${cellId} successfully destroyed container for instance ${this.taskGuid}`);
    }
  }

  async #startCommand(): Promise<ContainerProcess> {
    const task = this.#task;
    const command = task.work.case === 'command' ? task.work.value : undefined;
    const { stack, environment, memoryMb, diskMb } = task;
    const { droplet, dockerImage } = command ?? {};
    const work = { stack, environment, memoryMb, diskMb, droplet, dockerImage };
    using start = blockSignal(this.#cancelling.signal);
    const runnable = await prepareRunnable(this.#context, this.taskGuid, work, start);
    const container = await this.#context.creating(() =>
      this.#context.garden.create({
        handle: this.taskGuid,
        ...containerOf(runnable),
        limits: containerLimits(task.memoryMb, task.diskMb),
        egressRules: task.egressRules,
        properties: taskProperties(task),
      }),
    );
    await giveIdentity(this.#context, container, task.owner);
    this.#keepRenewed(container, this.#context.now() + VALIDITY_MS);
    return container.run({
      id: TASK_PROCESS,
      ...runnable.process(command?.command ?? '', {
        hostAddress: this.#context.address,
        address: container.address,
        instanceGuid: this.taskGuid,
        memoryMb: task.memoryMb,
      }),
    });
  }

  /** A command may run for longer than its first certificate. */
  #keepRenewed(container: Container, expiresAt: number): void {
    this.#renewal = keepRenewed({
      expiresAt,
      now: this.#context.now,
      renew: () => giveIdentity(this.#context, container, this.#task.owner),
      failed: (error) => this.#log.error('task credentials were not renewed', { error: messageOf(error) }),
    });
  }

  async #runCommand(start: () => Promise<ContainerProcess>): Promise<Outcome> {
    const process = await start();
    this.#detached.signal.throwIfAborted();
    const following = this.#context.logs.follow({
      handle: this.taskGuid,
      processId: process.id,
      path: process.logPath,
      origin: this.#origin,
      rateLimit: new LogRateLimit(this.#task.logRateLimitBytesPerSecond ?? -1),
    });
    const { signal } = this.#cancelling;
    const cancelled = new Promise<null>((resolve) => onAbort(signal, () => resolve(null)));
    const exit = await Promise.race([process.exit, cancelled]);
    if (exit === null) {
      if (!this.#detached.signal.aborted) await endProcess(process, this.#context.timing.graceMs);
      if (!this.#detached.signal.aborted) await following.finish();
      return failure('task was cancelled');
    }
    await following.finish();
    this.#lines.line(`Exit status ${exit.exitCode}${exit.outOfMemory ? ' (out of memory)' : ''}`);
    if (exit.exitCode === 0) return { failed: false, failureReason: '', result: '' };
    return failure(exitReason(this.#origin.tags['source_type']!, exit));
  }

  #failureReason(error: unknown): string {
    if (this.#cancelling.signal.aborted) return 'task was cancelled';
    const reason = startFailure(error);
    return isStaging(this.#task) ? `StagingError: ${reason}` : reason;
  }
}

/** Reports until it is acknowledged, then forgets. Rejects only when the cell closes. */
export async function completeTask(
  context: RepContext,
  results: TaskResults,
  result: CompleteTaskRequest,
): Promise<void> {
  await context.reports.deliver('task completion', (signal) => context.registry.completeTask(result, { signal }));
  await results.forget(result.taskGuid);
}

/** Done again by the next process where the cell ended; a command goes on. */
export function isStaging({ work }: Task): boolean {
  return work.case === 'staging' || work.case === 'dockerStaging';
}

function failure(failureReason: string): Outcome {
  return { failed: true, failureReason, result: '' };
}
