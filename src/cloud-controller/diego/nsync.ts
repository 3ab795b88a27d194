import { Reconciler } from '../../kit/reconcile.ts';
import type { Context } from '../context.ts';
import { advanceDeployments } from '../deployments/advance.ts';
import { advanceOutgoing } from '../processes/outgoing.ts';
import { syncTasks } from '../tasks/sync.ts';
import { syncStaging } from './staging.ts';
import { syncDesiredLrps } from './sync.ts';
import { wantedLrps } from './wanted.ts';

const EVERY_MS = 30_000;
/** While a deployment or a restart waits for instances, and after a failure. */
const SOON_MS = 1_000;

/**
 * Keeps Diego in step with the database (DGO-01): woken after each commit that matters and by a timer, so that no API
 * write is lost while Diego is away. Several control processes may run it; every step may be repeated.
 */
export class Nsync {
  readonly #parts: readonly Part[];

  constructor(context: Context) {
    this.#parts = [
      new Part('desired-lrps', context, async () => {
        const deploying = await advanceDeployments(context);
        const replacing = await advanceOutgoing(context);
        const result = await syncDesiredLrps(context.bbs, () => wantedLrps(context), context.log);
        return deploying || replacing || result.failed > 0;
      }),
      new Part('staging', context, () => syncStaging(context)),
      new Part('tasks', context, () => syncTasks(context)),
    ];
  }

  start(): void {
    for (const part of this.#parts) part.reconciler.start();
  }

  wake(): void {
    for (const part of this.#parts) part.reconciler.wake();
  }

  async close(): Promise<void> {
    await Promise.all(this.#parts.map((part) => part.close()));
  }
}

/** A reconciler that comes back soon when its body says so or fails. */
class Part {
  readonly reconciler: Reconciler;
  #soon: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(name: string, context: Context, body: () => Promise<boolean>) {
    this.reconciler = new Reconciler(name, EVERY_MS, () => this.#run(body), context.log);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.reconciler.stop();
    clearTimeout(this.#soon);
  }

  async #run(body: () => Promise<boolean>): Promise<void> {
    clearTimeout(this.#soon);
    let again = true;
    try {
      again = await body();
    } finally {
      if (again && !this.#closed) this.#soon = setTimeout(() => this.reconciler.wake(), SOON_MS).unref();
    }
  }
}
