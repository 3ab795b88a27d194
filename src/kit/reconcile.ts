import { AsyncLocalStorage } from 'node:async_hooks';
import { messageOf } from './errors.ts';
import type { Logger } from './log.ts';

/** Does one after the other: what fails is logged by its name and stops none of the others. Gives whether all were done. */
export async function attemptEach(
  steps: Readonly<Record<string, () => Promise<unknown>>>,
  log: Logger,
): Promise<boolean> {
  let done = true;
  for (const [step, body] of Object.entries(steps)) {
    try {
      await body();
    } catch (error) {
      done = false;
      log.error('a part of some work failed; the next run tries it again', { step, error: messageOf(error) });
    }
  }
  return done;
}

/**
 * What a run is to look at. Where it is everything, what was named stands there as well: for who knows of a named one what a look at
 * everything does not show, or shows late.
 */
export interface Subjects {
  readonly all: boolean;
  readonly names: ReadonlySet<string>;
}

/** These alone. */
export function named(names: Iterable<string>): Subjects {
  return { all: false, names: new Set(names) };
}

/**
 * What a run leaves: nothing ("done"), all that it was to look at ("soon"), or other subjects, perhaps none, that are to be
 * looked at soon. `failed`: the same of a run that failed, as one that throws has.
 */
export type Outcome = 'done' | 'soon' | { soon: Subjects } | { failed: Subjects };

/** How many times the time to the next attempt is doubled while runs fail. */
const DOUBLED = 3;

const EVERYTHING: Subjects = { all: true, names: new Set() };

type Body = (subjects: Subjects) => Promise<Outcome> | Promise<void>;

export interface Pace {
  /** From the end of a run that looked at everything to the next one. */
  everyMs: number;
  /**
   * To the next run after one that left something; `everyMs` where it is not told. After each one more that failed it is twice as
   * long, up to eight times; the timer and a wake wait for none of it.
   */
  soonMs?: number;
}

/**
 * A reconciler: one run at a time, woken by `wake` and by a timer. What is woken for during a run is looked at in one more. A run
 * that fails has its subjects tried again, with the next one. The timer's runs look at everything, however often subjects are named
 * meanwhile. A run is nobody's: it counts for no caller who woke it, and its log lines carry no request's id.
 */
export class Reconciler {
  readonly #name: string;
  readonly #pace: Required<Pace>;
  readonly #body: Body;
  readonly #log: Logger;
  readonly #outside = AsyncLocalStorage.snapshot();
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #running: Promise<void> | null = null;
  /** Asks for a run. */
  #woken: Subjects | null = null;
  /** Waits for the next run, whatever it is woken by. */
  #left: Subjects | null = null;
  /** Runs that failed since the last that did not. */
  #failures = 0;
  #stopped = true;

  /** `pace`: a number is `everyMs`. */
  constructor(name: string, pace: Pace | number, body: Body, log: Logger) {
    const { everyMs, soonMs } = typeof pace === 'number' ? { everyMs: pace } : pace;
    this.#name = name;
    this.#pace = { everyMs, soonMs: soonMs ?? everyMs };
    this.#body = body;
    this.#log = log;
  }

  start(): void {
    this.#stopped = false;
    this.wake();
  }

  /** Has these looked at; everything where none are named. */
  wake(subjects?: Iterable<string>): void {
    if (this.#stopped) return;
    this.#woken = both(this.#woken, subjects === undefined ? EVERYTHING : named(subjects));
    this.#running ??= this.#outside(() => this.#run());
  }

  /** Ends after the run under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#soon);
    await this.#running;
  }

  async #run(): Promise<void> {
    clearTimeout(this.#soon);
    while (this.#woken !== null && !this.#stopped) {
      const subjects = both(this.#woken, this.#left) ?? EVERYTHING;
      this.#woken = null;
      this.#left = null;
      if (subjects.all) clearTimeout(this.#timer);
      this.#left = await this.#attempt(subjects);
      if (subjects.all && !this.#stopped) this.#timer = setTimeout(() => this.wake(), this.#pace.everyMs);
    }
    this.#running = null;
    if (this.#left !== null && !this.#stopped) this.#soon = setTimeout(() => this.wake([]), this.#untilNext());
  }

  #untilNext(): number {
    return this.#pace.soonMs * 2 ** Math.min(Math.max(this.#failures - 1, 0), DOUBLED);
  }

  /** Gives what is to be looked at again. */
  async #attempt(subjects: Subjects): Promise<Subjects | null> {
    try {
      const outcome = (await this.#body(subjects)) ?? 'done';
      if (typeof outcome === 'object' && 'failed' in outcome) {
        this.#failures += 1;
        return outcome.failed;
      }
      this.#failures = 0;
      if (outcome === 'done') return null;
      return outcome === 'soon' ? subjects : outcome.soon;
    } catch (error) {
      this.#failures += 1;
      this.#log.error('a reconciliation failed; it is tried again', {
        reconciler: this.#name,
        error: messageOf(error),
      });
      return subjects;
    }
  }
}

function both(some: Subjects | null, others: Subjects | null): Subjects | null {
  if (some === null || others === null) return some ?? others;
  return { all: some.all || others.all, names: new Set([...some.names, ...others.names]) };
}
