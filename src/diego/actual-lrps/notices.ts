import type { Client } from '@connectrpc/connect';
import type { CloudControllerInternal } from '../../contracts/gen/cloud-controller_pb.js';
import type { ActualLrp } from '../../contracts/gen/diego_pb.js';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';

const MOST_WAITING = 10_000;
const RETRY_MS = 1_000;

type Send = (options: { timeoutMs: number; signal: AbortSignal }) => Promise<unknown>;

/**
 * Tells the Cloud Controller what befell an instance, for its events: crashes, and whether it is ready. Tried again for a
 * bounded time and kept in memory only: the event is for people to read, nothing depends on it.
 */
export class Notices {
  readonly #cloudController: Client<typeof CloudControllerInternal>;
  readonly #patienceMs: number;
  readonly #log: Logger;
  readonly #waiting: { process: string; send: Send; giveUpAt: number }[] = [];
  #running: Promise<void> | null = null;
  #closing = new AbortController();

  constructor(cloudController: Client<typeof CloudControllerInternal>, patienceMs: number, log: Logger) {
    this.#cloudController = cloudController;
    this.#patienceMs = patienceMs;
    this.#log = log;
  }

  crashed(lrp: ActualLrp, crashCount: number): void {
    const { processGuid, index, instanceGuid, cellId, crashReason: reason } = lrp;
    this.#add(processGuid, (options) =>
      this.#cloudController.lrpCrashed({ processGuid, index, instanceGuid, cellId, reason, crashCount }, options),
    );
  }

  readinessChanged(lrp: ActualLrp, ready: boolean): void {
    const { processGuid, index, instanceGuid, cellId } = lrp;
    this.#add(processGuid, (options) =>
      this.#cloudController.lrpReadinessChanged({ processGuid, index, instanceGuid, cellId, ready }, options),
    );
  }

  #add(process: string, send: Send): void {
    if (this.#waiting.length >= MOST_WAITING) this.#waiting.shift();
    this.#waiting.push({ process, send, giveUpAt: performance.now() + this.#patienceMs });
    this.#running ??= this.#send().finally(() => {
      this.#running = null;
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #send(): Promise<void> {
    for (let notice = this.#waiting[0]; notice && !this.#closing.signal.aborted; notice = this.#waiting[0]) {
      try {
        await notice.send({ timeoutMs: 5_000, signal: this.#closing.signal });
      } catch (error) {
        if (performance.now() < notice.giveUpAt) {
          await pause(RETRY_MS, this.#closing.signal);
          continue;
        }
        this.#log.warn('an event of an instance was not reported', {
          process: notice.process,
          error: messageOf(error),
        });
      }
      if (this.#waiting[0] === notice) this.#waiting.shift();
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
