import { UaaError } from '../errors.ts';

export interface TurnLimits {
  /** At work at the same time. */
  running: number;
  /** Waiting, of all callers and of one. */
  waiting: number;
  waitingPerCaller: number;
}

export interface TurnOptions {
  /** Aborts when nobody waits for the work any more: the place in the queue is given up. */
  gone?: AbortSignal | undefined;
  /** How many of this caller may wait, where it is not `waitingPerCaller`. */
  mostWaiting?: number;
}

/** Somebody who waits: their turn comes, or somebody who waits for less takes their place. */
interface Waiting {
  begin: () => void;
  refuse: (error: UaaError) => void;
}

/**
 * Lets a few work at once, and those who wait by turns: whoever sends much waits for themselves, not others for them. Where no
 * place is left, the newest of who has the most gives way.
 */
export class FairQueue {
  readonly #limits: TurnLimits;
  #running = 0;
  #waiting = 0;
  /** By caller, and whose turn it is first. */
  readonly #queues = new Map<string, Waiting[]>();

  constructor(limits: TurnLimits) {
    this.#limits = limits;
  }

  /** How many wait, of all callers. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Throws `too_many_requests` where too many wait already, `temporarily_unavailable` to who has gone before their turn. */
  async take<T>(caller: string, work: () => Promise<T>, options: TurnOptions = {}): Promise<T> {
    if (options.gone?.aborted) throw nobodyWaits();
    if (this.#running >= this.#limits.running) await this.#wait(caller, options);
    else this.#running += 1;
    try {
      return await work();
    } finally {
      const next = this.#next();
      // Whoever ends hands its place over, so `#running` stays as it is.
      if (next) next();
      else this.#running -= 1;
    }
  }

  #wait(caller: string, { gone, mostWaiting = this.#limits.waitingPerCaller }: TurnOptions): Promise<void> {
    const queue = this.#queues.get(caller) ?? [];
    if (queue.length >= mostWaiting) throw tooMany();
    if (this.#waiting >= this.#limits.waiting) this.#makePlace(queue.length + 1);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = (): void => this.#leave(caller, waiting);
    const settled = (): void => gone?.removeEventListener('abort', leave);
    const waiting: Waiting = {
      begin: () => {
        settled();
        resolve();
      },
      refuse: (error) => {
        settled();
        reject(error);
      },
    };
    gone?.addEventListener('abort', leave, { once: true });
    queue.push(waiting);
    this.#queues.set(caller, queue);
    this.#waiting += 1;
    return promise;
  }

  #leave(caller: string, waiting: Waiting): void {
    const queue = this.#queues.get(caller);
    const position = queue?.indexOf(waiting) ?? -1;
    if (!queue || position < 0) return;
    queue.splice(position, 1);
    if (queue.length === 0) this.#queues.delete(caller);
    this.#waiting -= 1;
    waiting.refuse(nobodyWaits());
  }

  /** For a caller who then has so many waiting. */
  #makePlace(own: number): void {
    let longest: Waiting[] = [];
    for (const queue of this.#queues.values()) if (queue.length > longest.length) longest = queue;
    const last = longest.length > own ? longest.pop() : undefined;
    if (!last) throw tooMany();
    this.#waiting -= 1;
    last.refuse(tooMany());
  }

  #next(): (() => void) | undefined {
    const [first] = this.#queues;
    if (!first) return undefined;
    const [caller, queue] = first;
    const next = queue.shift()?.begin;
    this.#queues.delete(caller);
    if (queue.length > 0) this.#queues.set(caller, queue);
    this.#waiting -= 1;
    return next;
  }
}

function tooMany(): UaaError {
  return new UaaError('too_many_requests', 'Too many logins are under way. Try again shortly.', { retryAfter: 2 });
}

/** Read by nobody but a log. */
function nobodyWaits(): UaaError {
  return new UaaError('temporarily_unavailable', 'The connection ended before the work began.');
}
