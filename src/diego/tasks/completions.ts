import type { Client } from '@connectrpc/connect';
import type { CloudControllerInternal } from '../../contracts/gen/cloud-controller_pb.js';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { inParallel } from '../reps.ts';
import type { Completion, TaskStore } from './store.ts';

const AT_ONCE = 8;
const CALL_TIMEOUT_MS = 15_000;
/** Longer than a call may take, so that nobody else delivers what we are delivering. */
const TAKEN_FOR_MS = 30_000;
const LONGEST_PAUSE_MS = 30_000;

/** Tells the Cloud Controller of completed tasks until it answers, then deletes them. Any Diego may deliver. */
export class Completions {
  readonly #tasks: TaskStore;
  readonly #cloudController: Client<typeof CloudControllerInternal>;
  readonly #clock: () => number;
  readonly #log: Logger;

  constructor(
    tasks: TaskStore,
    cloudController: Client<typeof CloudControllerInternal>,
    clock: () => number,
    log: Logger,
  ) {
    this.#tasks = tasks;
    this.#cloudController = cloudController;
    this.#clock = clock;
    this.#log = log;
  }

  async deliver(): Promise<void> {
    const now = this.#clock();
    const completions = await this.#tasks.takeCompletions(now, now + TAKEN_FOR_MS, 64);
    await inParallel(completions, AT_ONCE, (completion) => this.#deliverOne(completion));
  }

  async #deliverOne(completion: Completion): Promise<void> {
    const { taskGuid, domain, failed, failureReason, result, attempts } = completion;
    try {
      await this.#cloudController.taskCompleted(
        { taskGuid, domain, failed, failureReason, result },
        { timeoutMs: CALL_TIMEOUT_MS },
      );
      await this.#tasks.delete(taskGuid);
    } catch (error) {
      const pauseMs = Math.min(500 * 2 ** Math.min(attempts, 10), LONGEST_PAUSE_MS);
      this.#log.warn('a completed task was not taken; it is offered again', {
        task: taskGuid,
        pauseMs,
        error: messageOf(error),
      });
      await this.#tasks.delayCompletion(taskGuid, this.#clock() + pauseMs).catch(() => {}); // due in 30 s anyway
    }
  }
}
