import { setTimeout as delay } from 'node:timers/promises';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Client } from '@connectrpc/connect';
import { EnvelopeBatchSchema, type EnvelopeSchema, type Ingress } from '../../contracts/gen/loggregator_pb.js';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';

export type EnvelopeInit = MessageInitShape<typeof EnvelopeSchema>;

interface Queued {
  envelope: EnvelopeInit;
  bytes: number;
  /** Called once the log cache has it and all before it. */
  acknowledged: (() => void) | undefined;
}

const OVERHEAD_BYTES = 300;
const FLUSH_MS = 100;
const BATCH_BYTES = 512 * 1024;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Sends envelopes in order, one batch at a time, and keeps what is not acknowledged. The buffer is bounded by bytes:
 * readers of files wait for room (the file holds the rest), everything else is left out and counted.
 */
export class EnvelopeSender {
  readonly #ingress: Client<typeof Ingress>;
  readonly #log: Logger;
  readonly #maximumBytes: number;
  readonly #queue: Queued[] = [];
  readonly #closing = new AbortController();
  #bytes = 0;
  #leftOut = 0;
  #loop: Promise<void> | null = null;
  #waiting: (() => void)[] = [];

  constructor(ingress: Client<typeof Ingress>, log: Logger, maximumBytes = 16 * 1024 * 1024) {
    this.#ingress = ingress;
    this.#log = log;
    this.#maximumBytes = maximumBytes;
  }

  /** Resolves when there is room again. */
  async room(): Promise<void> {
    while (this.#bytes >= this.#maximumBytes && !this.#closing.signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await promise;
    }
  }

  /** Takes an envelope whatever the fill; callers that can wait call `room` before. */
  push(envelope: EnvelopeInit, payloadBytes: number, acknowledged?: () => void): void {
    const bytes = payloadBytes + OVERHEAD_BYTES;
    this.#queue.push({ envelope, bytes, acknowledged });
    this.#bytes += bytes;
    this.#loop ??= this.#send();
  }

  /** Calls back once the log cache has all that was taken so far. */
  afterAll(acknowledged: () => void): void {
    const last = this.#queue.at(-1);
    if (!last) {
      acknowledged();
      return;
    }
    const before = last.acknowledged;
    last.acknowledged = () => {
      before?.();
      acknowledged();
    };
  }

  /** Takes an envelope if there is room. */
  offer(envelope: EnvelopeInit, payloadBytes: number): void {
    if (this.#bytes < this.#maximumBytes) this.push(envelope, payloadBytes);
    else this.#leftOut += 1;
  }

  /** Tries for up to `graceMs` to deliver what is left. */
  async close(graceMs = 1_000): Promise<void> {
    const deadline = performance.now() + graceMs;
    while (this.#queue.length > 0 && performance.now() < deadline) await delay(10);
    this.#closing.abort();
    this.#wakeWaiting();
    await this.#loop;
  }

  async #send(): Promise<void> {
    const { signal } = this.#closing;
    let pause = 250;
    // A moment's wait gathers a burst into one call.
    await delay(FLUSH_MS, undefined, { signal }).catch(() => {});
    while (this.#queue.length > 0 && !signal.aborted) {
      const batch = this.#take();
      try {
        await this.#ingress.send(create(EnvelopeBatchSchema, { batch: batch.map((item) => item.envelope) }), {
          signal,
        });
        pause = 250;
      } catch (error) {
        if (signal.aborted) break;
        this.#log.warn('log envelopes could not be sent; they are kept and sent again', {
          error: messageOf(error),
          waitingBytes: this.#bytes,
        });
        await delay(pause, undefined, { signal }).catch(() => {});
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
        continue;
      }
      this.#queue.splice(0, batch.length);
      for (const item of batch) {
        this.#bytes -= item.bytes;
        item.acknowledged?.();
      }
      if (this.#leftOut > 0) this.#log.warn('envelopes were left out for want of room', { count: this.#leftOut });
      this.#leftOut = 0;
      this.#wakeWaiting();
      if (this.#bytes < BATCH_BYTES / 4) await delay(FLUSH_MS, undefined, { signal }).catch(() => {});
    }
    this.#loop = null;
  }

  #take(): Queued[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && bytes < BATCH_BYTES) bytes += this.#queue[count++]!.bytes;
    return this.#queue.slice(0, count);
  }

  #wakeWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}
