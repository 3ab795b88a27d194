import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@connectrpc/connect';
import { messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import { EnvelopeWriter } from './envelope-wire.ts';
import type { Ingress } from './gen/loggregator_pb.js';
import type { EnvelopeInit } from './log-envelopes.ts';

interface Queued {
  envelope: Uint8Array;
  /** Called once the log cache has it and all before it. */
  acknowledged: (() => void) | undefined;
}

export interface EnvelopeSenderOptions {
  /** What may wait, payloads and what is around them. */
  mostBytes?: number | undefined;
  /** Which of those that were offered go where there is no room. "oldest" is for who awaits nothing of the sender. */
  leavesOut?: 'newest' | 'oldest';
}

const MOST_BYTES = 16 * 1024 * 1024;
/** What an envelope takes beside its own bytes. */
const OVERHEAD_BYTES = 200;
const FLUSH_MS = 100;
const BATCH_BYTES = 512 * 1024;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Sends envelopes in order, one batch at a time, and keeps what is not acknowledged. The buffer is bounded by bytes:
 * readers of files wait for room (the file holds the rest), everything else is left out, counted, and said.
 */
export class EnvelopeSender {
  readonly #ingress: Pick<Client<typeof Ingress>, 'send'>;
  readonly #log: Logger;
  readonly #mostBytes: number;
  readonly #leavesOut: 'newest' | 'oldest';
  readonly #writer = new EnvelopeWriter();
  readonly #queue: Queued[] = [];
  readonly #closing = new AbortController();
  /** Of the queue's first, how many are under way. */
  #sending = 0;
  #bytes = 0;
  #leftOut = 0;
  /** Of those left out, how many the log was told of. */
  #said = 0;
  #loop: Promise<void> | null = null;
  #waiting: (() => void)[] = [];

  constructor(ingress: Pick<Client<typeof Ingress>, 'send'>, log: Logger, options: EnvelopeSenderOptions = {}) {
    this.#ingress = ingress;
    this.#log = log;
    this.#mostBytes = options.mostBytes ?? MOST_BYTES;
    this.#leavesOut = options.leavesOut ?? 'newest';
  }

  /** How many envelopes wait, those under way among them, and how many were left out since the beginning. */
  status(): { waiting: number; leftOut: number } {
    return { waiting: this.#queue.length, leftOut: this.#leftOut };
  }

  get full(): boolean {
    return this.#bytes >= this.#mostBytes;
  }

  /** Resolves when there is room again. */
  async room(): Promise<void> {
    while (this.full && !this.#closing.signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await promise;
    }
  }

  /** Takes an envelope whatever the fill; callers that can wait call `room` before. */
  push(envelope: EnvelopeInit, acknowledged?: () => void): void {
    if (this.#closing.signal.aborted) {
      this.#leftOut += 1;
      return;
    }
    const queued = { envelope: this.#writer.write(envelope), acknowledged };
    this.#queue.push(queued);
    this.#bytes += bytesOf(queued);
    this.#loop ??= this.#send();
  }

  /** Takes an envelope if there is room, or if those of before make some. `acknowledged` as that of `push`; not called where it is left out. */
  offer(envelope: EnvelopeInit, acknowledged?: () => void): void {
    if (this.full && !(this.#leavesOut === 'oldest' && this.#makeRoom())) this.#leftOut += 1;
    else this.push(envelope, acknowledged);
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

  /** Tries for up to `graceMs` to deliver what is left. */
  async close(graceMs = 1_000): Promise<void> {
    const deadline = performance.now() + graceMs;
    while (this.#queue.length > 0 && performance.now() < deadline) await delay(10);
    this.#closing.abort();
    this.#wakeWaiting();
    await this.#loop;
    this.#leftOut += this.#queue.length;
    this.#sayLeftOut();
  }

  async #send(): Promise<void> {
    const { signal } = this.#closing;
    let pause = FIRST_PAUSE_MS;
    // A moment's wait gathers a burst into one call.
    await delay(FLUSH_MS, undefined, { signal }).catch(() => {});
    while (this.#queue.length > 0 && !signal.aborted) {
      const batch = this.#batch();
      this.#sending = batch.length;
      try {
        await this.#ingress.send({ batch: batch.map(({ envelope }) => envelope) }, { signal });
        pause = FIRST_PAUSE_MS;
      } catch (error) {
        this.#sending = 0;
        if (signal.aborted) break;
        this.#log.warn('log envelopes could not be sent; they are kept and sent again', {
          error: messageOf(error),
          waitingBytes: this.#bytes,
        });
        await delay(pause, undefined, { signal }).catch(() => {});
        pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
        continue;
      }
      this.#sending = 0;
      this.#queue.splice(0, batch.length);
      for (const item of batch) {
        this.#bytes -= bytesOf(item);
        item.acknowledged?.();
      }
      this.#sayLeftOut();
      this.#wakeWaiting();
      if (this.#bytes < BATCH_BYTES / 4) await delay(FLUSH_MS, undefined, { signal }).catch(() => {});
    }
    this.#loop = null;
  }

  #batch(): Queued[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && bytes < BATCH_BYTES) bytes += bytesOf(this.#queue[count++]!);
    return this.#queue.slice(0, count);
  }

  /** Leaves out the oldest that are not under way, many at once. False where there are none. */
  #makeRoom(): boolean {
    let bytes = 0;
    let count = 0;
    const oldest = this.#sending;
    while (oldest + count < this.#queue.length && bytes < this.#mostBytes / 32) {
      bytes += bytesOf(this.#queue[oldest + count++]!);
    }
    this.#queue.splice(oldest, count);
    this.#bytes -= bytes;
    this.#leftOut += count;
    return count > 0;
  }

  #sayLeftOut(): void {
    const count = this.#leftOut - this.#said;
    if (count > 0) this.#log.warn('envelopes were left out', { count });
    this.#said = this.#leftOut;
  }

  #wakeWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}

function bytesOf({ envelope }: Queued): number {
  return envelope.length + OVERHEAD_BYTES;
}
