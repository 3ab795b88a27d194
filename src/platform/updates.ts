import { setTimeout as pause } from 'node:timers/promises';
import { messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import type { Keeper } from './component.ts';

const STOP_MS = 15_000;
const HEALTHY_LIMIT_MS = 90_000;
const MOST_RESTARTS = 4;
const PAUSE_MS = 200;

/** Why processes of before still run, and what of it. */
export interface UpdateStatus {
  /** Components that run as they were before. */
  outdated: string[];
  /** What stopped the update; it goes no further until another supervisor takes over or the component is restarted. */
  problem: string | null;
  /** One is being replaced, or the last one that was is not known to be well yet. */
  running: boolean;
}

/**
 * Brings processes that were adopted to the present code and configuration, one after the other: the next only once the one
 * before is well. What did not change is left alone. A component that does not become well stops it, for a person (or
 * `cupola upgrade`, which goes back) to decide.
 */
export class Updates {
  readonly #keepers: readonly Keeper[];
  readonly #healthy: (name: string, since: number) => Promise<boolean>;
  readonly #log: Logger;
  #problem: string | null = null;
  #running: Promise<void> | null = null;
  #stopped = false;

  constructor(keepers: readonly Keeper[], healthy: (name: string, since: number) => Promise<boolean>, log: Logger) {
    this.#keepers = keepers;
    this.#healthy = healthy;
    this.#log = log;
  }

  get status(): UpdateStatus {
    const outdated = this.#keepers.filter((keeper) => keeper.outdated).map(({ component }) => component.name);
    return { outdated, problem: this.#problem, running: this.#running !== null };
  }

  /** Begins, or goes on; returns at once. `changed` is called after each process that was replaced. */
  tend(changed: () => void): void {
    if (this.#running || this.#stopped || this.#problem !== null) return;
    if (!this.#keepers.some((keeper) => keeper.outdated)) return;
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
    for (const keeper of this.#keepers) {
      const { name, after = [] } = keeper.component;
      const must = keeper.outdated || (keeper.identity !== null && after.some((other) => replaced.has(other)));
      if (this.#stopped || !must) continue;
      const began = Date.now();
      const { restarts } = keeper;
      try {
        await keeper.replace(STOP_MS);
      } catch (error) {
        changed();
        return this.#fail(name, messageOf(error));
      }
      changed();
      replaced.add(name);
      this.#log.info('replaced', { name, pid: keeper.identity?.pid });
      const trouble = await this.#trouble(keeper, began, restarts);
      if (trouble !== null) return this.#fail(name, trouble);
      if (this.#stopped) return;
    }
  }

  /** Waits until it is well (null) or will not be. */
  async #trouble(keeper: Keeper, since: number, restarts: number): Promise<string | null> {
    const deadline = Date.now() + HEALTHY_LIMIT_MS;
    while (!this.#stopped) {
      if (await this.#healthy(keeper.component.name, since)) return null;
      if (keeper.restarts - restarts >= MOST_RESTARTS) return `it ended ${MOST_RESTARTS} times in a row`;
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
