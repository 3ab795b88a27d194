import { setTimeout as pause } from 'node:timers/promises';
import { messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import type { UpdateStatus } from './admin-messages.ts';
import type { Supervised } from './components/supervised.ts';

const STOP_MS = 15_000;
const HEALTHY_LIMIT_MS = 90_000;
const MOST_RESTARTS = 4;
const PAUSE_MS = 200;

/**
 * Brings processes that were adopted to the present code and configuration, one after the other: the next only once the one
 * before is well. What did not change is left alone. A component that does not become well stops it, for a person (or
 * `cupola upgrade`, which goes back) to decide.
 */
export class Updates {
  readonly #components: readonly Supervised[];
  readonly #healthy: (name: string, since: number) => Promise<boolean>;
  readonly #log: Logger;
  #problem: string | null = null;
  #running: Promise<void> | null = null;
  #stopped = false;

  constructor(
    components: readonly Supervised[],
    healthy: (name: string, since: number) => Promise<boolean>,
    log: Logger,
  ) {
    this.#components = components;
    this.#healthy = healthy;
    this.#log = log;
  }

  get status(): UpdateStatus {
    const outdated = this.#components
      .filter((supervised) => supervised.outdated)
      .map(({ component }) => component.name);
    return { outdated, problem: this.#problem, running: this.#running !== null };
  }

  /** Begins, or goes on; returns at once. `changed` is called after each process that was replaced. */
  tend(changed: () => void): void {
    if (this.#running || this.#stopped || this.#problem !== null) return;
    if (!this.#components.some((supervised) => supervised.outdated)) return;
    this.#running = this.#run(changed).finally(() => {
      this.#running = null;
    });
  }

  /** Ends after the replacement under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(changed: () => void): Promise<void> {
    const replaced = new Set<string>();
    const isLast = ({ component }: Supervised): boolean => component.replacedLast === true;
    for (const supervised of [...this.#components].sort((one, other) => Number(isLast(one)) - Number(isLast(other)))) {
      const { name, after = [] } = supervised.component;
      const must = supervised.outdated || (supervised.identity !== null && after.some((other) => replaced.has(other)));
      if (this.#stopped || !must) continue;
      const began = Date.now();
      const { restarts } = supervised;
      try {
        await supervised.replace(STOP_MS);
      } catch (error) {
        changed();
        return this.#fail(name, messageOf(error));
      }
      changed();
      replaced.add(name);
      this.#log.info('replaced', { name, pid: supervised.identity?.pid });
      // What has a way back is judged by what it has done since.
      const since = supervised.component.goBack ? Date.now() : began;
      const trouble = await this.#trouble(supervised, since, restarts);
      if (trouble !== null) return this.#fail(name, await this.#backFrom(supervised, trouble));
      if (this.#stopped) return;
      try {
        await supervised.settle();
      } catch (error) {
        return this.#fail(name, messageOf(error));
      }
      changed();
    }
  }

  /** Gives the trouble, and what came of going back. */
  async #backFrom(supervised: Supervised, trouble: string): Promise<string> {
    try {
      await supervised.goBack();
      return trouble;
    } catch (error) {
      return `${trouble}; nor did what was there before come back: ${messageOf(error)}`;
    }
  }

  /** Waits until it is well (null) or will not be. */
  async #trouble(supervised: Supervised, since: number, restarts: number): Promise<string | null> {
    const deadline = Date.now() + HEALTHY_LIMIT_MS;
    while (!this.#stopped) {
      if (await this.#healthy(supervised.component.name, since)) return null;
      if (supervised.restarts - restarts >= MOST_RESTARTS) return `it ended ${MOST_RESTARTS} times in a row`;
      if (Date.now() > deadline) return `it was not well after ${HEALTHY_LIMIT_MS / 1000} s`;
      await pause(PAUSE_MS);
    }
    return null;
  }

  #fail(name: string, reason: string): void {
    this.#problem = `${name} could not be updated: ${reason}`;
    this.#log.error('the update stopped', { name, reason });
  }
}
