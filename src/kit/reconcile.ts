import { messageOf } from './errors.ts';
import type { Logger } from './log.ts';

/** A reconciler: one run at a time, woken by `wake` and by a timer. A wake during a run causes one more run. */
export class Reconciler {
  readonly #name: string;
  readonly #intervalMs: number;
  readonly #body: () => Promise<void>;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | null = null;
  #again = false;
  #stopped = true;

  constructor(name: string, intervalMs: number, body: () => Promise<void>, log: Logger) {
    this.#name = name;
    this.#intervalMs = intervalMs;
    this.#body = body;
    this.#log = log;
  }

  start(): void {
    this.#stopped = false;
    this.wake();
  }

  wake(): void {
    if (this.#stopped) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#running = this.#run();
  }

  /** Ends after the run under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #run(): Promise<void> {
    do {
      this.#again = false;
      try {
        await this.#body();
      } catch (error) {
        this.#log.error('a reconciliation failed; it is tried again', {
          reconciler: this.#name,
          error: messageOf(error),
        });
      }
    } while (this.#again && !this.#stopped);
    this.#running = null;
    if (!this.#stopped) this.#timer = setTimeout(() => this.wake(), this.#intervalMs);
  }
}
