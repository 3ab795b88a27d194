import { GONE_MEANWHILE, NONE_DELETED } from '../../kit/engine-words.ts';
import { messageOf } from '../../kit/errors.ts';
import { createLimiter } from '../../kit/limiter.ts';
import type { Logger } from '../../kit/log.ts';
import { run } from '../../kit/process.ts';

/** Each reads the machine's whole table: 0.1 s for 50,000 entries. */
const AT_ONCE = 2;
const TIMEOUT_MS = 20_000;
const MOST_PASSES = 10;

/**
 * What the kernel tracks of containers that are gone. An entry outlives its container by minutes, and by days where the
 * other side took nothing more: it would lead an old peer's packets to the next container with that address, count in
 * its share, and take one of the machine's.
 */
export class TrackedConnections {
  readonly #log: Logger;
  readonly #run: typeof run;
  readonly #inTurn = createLimiter(AT_ONCE);

  constructor(log: Logger, runs = run) {
    this.#log = log;
    this.#run = runs;
  }

  /** To be called when no packet comes or goes any more. Never rejects: a container that cannot be removed is worse. */
  async forget(address: string): Promise<void> {
    try {
      // One after the other: nothing may still be deleting when the address goes to the next container.
      for (const side of ['--orig-src', '--orig-dst']) await this.#inTurn(() => this.#delete(side, address));
    } catch (error) {
      this.#log.error('what is tracked of a container that is gone stays until it times out', {
        address,
        error: messageOf(error),
      });
    }
  }

  /** Until a pass finds none: one that reads the table while others change it leaves some out, or ends where one went. */
  async #delete(side: string, address: string): Promise<void> {
    for (let pass = 0; pass < MOST_PASSES; pass += 1) if (!(await this.#pass(side, address))) return;
    throw new Error(`${MOST_PASSES} passes found some`);
  }

  async #pass(side: string, address: string): Promise<boolean> {
    try {
      await this.#run('conntrack', ['--delete', '--family', 'ipv4', side, address], { timeoutMs: TIMEOUT_MS });
      return true;
    } catch (error) {
      // It counts it as a failure when there was none.
      if (messageOf(error).endsWith(NONE_DELETED)) return false;
      if (messageOf(error).endsWith(GONE_MEANWHILE)) return true;
      throw error;
    }
  }
}
