import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';

/** What the supervisor is doing just now, and does again and again, until it leaves. */
export class Work {
  readonly #log: Logger;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #underWay = new Set<Promise<unknown>>();
  #stopping = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** Begins unless we leave, and is waited for when we do. Throws what it throws. */
  async do(body: () => Promise<void>): Promise<void> {
    if (this.#stopping) return;
    const work = body();
    this.#underWay.add(work);
    await work.finally(() => this.#underWay.delete(work));
  }

  /** Again and again, each time that long after the last; a failure is told and tried again. */
  every(milliseconds: number, body: () => Promise<void>): void {
    const slot = this.#timers.length;
    const next = (): void => {
      this.#timers[slot] = setTimeout(async () => {
        const tried = (): Promise<void> =>
          body().catch((error: unknown) => this.#log.warn('it is tried again', { error: messageOf(error) }));
        await this.do(tried);
        if (!this.#stopping) next();
      }, milliseconds);
    };
    next();
  }

  /** Nothing begins any more. */
  stop(): void {
    this.#stopping = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** Resolves when nothing is half done. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }
}
