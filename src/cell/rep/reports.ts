import { setTimeout as delay } from 'node:timers/promises';
import { Code, ConnectError } from '@connectrpc/connect';
import { linkSignals } from '../../kit/abort.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';

const LONGEST_PAUSE_MS = 5_000;
/** Answers that no repetition changes. */
const FINAL = new Set<Code>([
  Code.FailedPrecondition,
  Code.NotFound,
  Code.InvalidArgument,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.Unimplemented,
]);

/** What the registry made of a report. `refused`: somebody else has the work, or nobody wants it. */
export type Verdict = 'accepted' | 'refused';

/** Calls of the registry that are repeated until it answers: while control is away the cell goes on and reports later. */
export class RegistryReports {
  readonly #log: Logger;
  readonly #firstPauseMs: number;
  readonly #closing = new AbortController();

  constructor(log: Logger, firstPauseMs: number) {
    this.#log = log;
    this.#firstPauseMs = firstPauseMs;
  }

  /** Rejects only when `signal` aborts or the cell closes. */
  async deliver(what: string, call: (signal: AbortSignal) => Promise<unknown>, stop?: AbortSignal): Promise<Verdict> {
    const { signal, release } = linkSignals(this.#closing.signal, ...(stop ? [stop] : []));
    try {
      return await this.#repeat(what, call, signal);
    } finally {
      release();
    }
  }

  async #repeat(what: string, call: (signal: AbortSignal) => Promise<unknown>, signal: AbortSignal): Promise<Verdict> {
    let pause = this.#firstPauseMs;
    for (;;) {
      signal.throwIfAborted();
      try {
        await call(signal);
        return 'accepted';
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof ConnectError && FINAL.has(error.code)) {
          this.#log.info('the registry refused a report', { report: what, error: error.message });
          return 'refused';
        }
        this.#log.warn('a report could not be delivered; it is repeated', { report: what, error: messageOf(error) });
      }
      await delay(pause, undefined, { signal });
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  }

  close(): void {
    this.#closing.abort();
  }
}
