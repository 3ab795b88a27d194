import type { Client } from '@connectrpc/connect';
import type { CloudControllerInternal } from '../../contracts/gen/cloud-controller_pb.js';
import type { ActualLrp } from '../../contracts/gen/diego_pb.js';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';

const MOST_WAITING = 10_000;
const RETRY_MS = 1_000;

/**
 * Tells the Cloud Controller of crashes, for its events. Tried again for a bounded time and kept in memory only: the
 * event is for people to read, nothing depends on it.
 */
export class CrashReports {
  readonly #cloudController: Client<typeof CloudControllerInternal>;
  readonly #patienceMs: number;
  readonly #log: Logger;
  readonly #waiting: { lrp: ActualLrp; crashCount: number; giveUpAt: number }[] = [];
  #running: Promise<void> | null = null;
  #closing = new AbortController();

  constructor(cloudController: Client<typeof CloudControllerInternal>, patienceMs: number, log: Logger) {
    this.#cloudController = cloudController;
    this.#patienceMs = patienceMs;
    this.#log = log;
  }

  report(lrp: ActualLrp, crashCount: number): void {
    if (this.#waiting.length >= MOST_WAITING) this.#waiting.shift();
    this.#waiting.push({ lrp, crashCount, giveUpAt: performance.now() + this.#patienceMs });
    this.#running ??= this.#send().finally(() => {
      this.#running = null;
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #send(): Promise<void> {
    for (let report = this.#waiting[0]; report && !this.#closing.signal.aborted; report = this.#waiting[0]) {
      const { lrp, crashCount } = report;
      try {
        await this.#cloudController.lrpCrashed(
          {
            processGuid: lrp.processGuid,
            index: lrp.index,
            instanceGuid: lrp.instanceGuid,
            cellId: lrp.cellId,
            reason: lrp.crashReason,
            crashCount,
          },
          { timeoutMs: 5_000, signal: this.#closing.signal },
        );
      } catch (error) {
        if (performance.now() < report.giveUpAt) {
          await pause(RETRY_MS, this.#closing.signal);
          continue;
        }
        this.#log.warn('a crash was not reported', { process: lrp.processGuid, error: messageOf(error) });
      }
      if (this.#waiting[0] === report) this.#waiting.shift();
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  signal.addEventListener('abort', () => {
    clearTimeout(timer);
    resolve();
  });
  return promise;
}
