import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import type { PostgresPoolClient } from 'kysely';
import type pg from 'pg';
import { CountedClient } from './counted-client.ts';

/** Whose connections are counted together, and whether what they do is long: a job, a manifest. */
interface Work {
  owner: string;
  long: boolean;
}

const current = new AsyncLocalStorage<Work>();

/** Does something for somebody: all connections to databases that it takes meanwhile are theirs. */
export function forOwner<Result>(owner: string, long: boolean, body: () => Result): Result {
  return current.run({ owner, long }, body);
}

/** Who asks has shown who they are: what is done for them from here on is theirs, wherever they ask from. */
export function nowFor(owner: string): void {
  const work = current.getStore();
  if (work) work.owner = owner;
}

/** Between two tries to reach a server that is away. */
const AGAIN_MS = 100;

interface Waiting {
  work: Work;
  enter: () => void;
}

/**
 * A pool of which one owner has a part at most, and all long work together too: what others ask in between always finds a
 * connection. Who has their part waits for one of their own to come back. What belongs to nobody is the platform's own work.
 */
export class SharedPool {
  readonly #pool: pg.Pool;
  readonly #most: number;
  readonly #waitMs: number;
  readonly #isAway: (error: unknown) => boolean;
  readonly #held = new Map<string, number>();
  #long = 0;
  readonly #waiting = new Set<Waiting>();

  /** `most`: connections of one owner, and of long work. `isAway`: of an error, whether the server may be there in a moment. */
  constructor(pool: pg.Pool, most: number, waitMs: number, isAway: (error: unknown) => boolean = () => false) {
    this.#pool = pool;
    this.#most = most;
    this.#waitMs = waitMs;
    this.#isAway = isAway;
  }

  /** A connection that counts what it reads. Throws as the pool does where none comes free in time. */
  async connect(): Promise<PostgresPoolClient> {
    return new CountedClient(await this.#connect());
  }

  end(): Promise<void> {
    return this.#pool.end();
  }

  async #connect(): Promise<pg.PoolClient> {
    const known = current.getStore();
    if (!known) return this.#open();
    // As it is now: it goes back to whom it was taken for.
    const work = { ...known };
    await this.#enter(work);
    try {
      const client = await this.#open();
      const { release } = client;
      // The pool sets it anew each time it lends the connection.
      client.release = (error) => {
        this.#leave(work);
        release.call(client, error);
      };
      return client;
    } catch (error) {
      this.#leave(work);
      throw error;
    }
  }

  /** A server that starts anew is waited for as long as a connection is. */
  async #open(): Promise<pg.PoolClient> {
    for (const deadline = performance.now() + this.#waitMs; ; await pause(AGAIN_MS)) {
      try {
        return await this.#pool.connect();
      } catch (error) {
        if (!this.#isAway(error) || performance.now() > deadline) throw error;
      }
    }
  }

  async #enter(work: Work): Promise<void> {
    if (this.#mayEnter(work)) return this.#count(work, 1);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting: Waiting = { work, enter: resolve };
    this.#waiting.add(waiting);
    const timer = setTimeout(() => {
      this.#waiting.delete(waiting);
      reject(new Error('timeout exceeded when trying to connect'));
    }, this.#waitMs);
    await promise.finally(() => clearTimeout(timer));
  }

  #leave(work: Work): void {
    this.#count(work, -1);
    for (const waiting of this.#waiting) {
      if (!this.#mayEnter(waiting.work)) continue;
      this.#waiting.delete(waiting);
      this.#count(waiting.work, 1);
      waiting.enter();
    }
  }

  #mayEnter({ owner, long }: Work): boolean {
    return (this.#held.get(owner) ?? 0) < this.#most && !(long && this.#long >= this.#most);
  }

  #count({ owner, long }: Work, by: 1 | -1): void {
    const held = (this.#held.get(owner) ?? 0) + by;
    if (held === 0) this.#held.delete(owner);
    else this.#held.set(owner, held);
    if (long) this.#long += by;
  }
}
