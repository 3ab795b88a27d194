import { setTimeout as delay } from 'node:timers/promises';
import { type Client, Code, ConnectError } from '@connectrpc/connect';
import type { EnvelopeSender } from '../../contracts/envelope-sender.ts';
import type { Ingress } from '../../contracts/gen/loggregator_pb.js';
import { type LogOrigin, logEnvelope } from '../../contracts/log-envelopes.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';

/** Kept while the buffer is full. */
const LAST_LINES = 200;
const ASK_MS = 150;
/** A client shows no line younger than two seconds, and the rest is for a slow one. */
const READABLE_MS = 6_000;
/** A client asks for a build and begins to follow at once, but its first read may come after the end of a short staging. */
const FIRST_READ_MS = 1_000;

interface Line {
  payload: Buffer;
  stderr: boolean;
}

/**
 * A log whose end matters most. Where the buffer is full the last lines are held until there is room, and what is left
 * out before them is counted in a line of its own.
 */
export class LineLog {
  readonly #ingress: Client<typeof Ingress>;
  readonly #sender: EnvelopeSender;
  readonly #origin: LogOrigin;
  readonly #nowNs: () => bigint;
  readonly #log: Logger;
  readonly #firstReadBy: number;
  #held: Line[] = [];
  #leftOut = 0;
  /** Resolves when what is held was sent; null while nothing waits. */
  #room: Promise<void> | null = null;

  constructor(options: {
    ingress: Client<typeof Ingress>;
    sender: EnvelopeSender;
    origin: LogOrigin;
    nowNs: () => bigint;
    log: Logger;
    firstReadMs?: number;
  }) {
    this.#ingress = options.ingress;
    this.#sender = options.sender;
    this.#origin = options.origin;
    this.#nowNs = options.nowNs;
    this.#log = options.log;
    this.#firstReadBy = performance.now() + (options.firstReadMs ?? FIRST_READ_MS);
  }

  line(text: string, stderr = false): void {
    this.#held.push({ payload: Buffer.from(text), stderr });
    if (!this.#sender.full) {
      this.#pushHeld();
      return;
    }
    if (this.#held.length > LAST_LINES) {
      this.#held.shift();
      this.#leftOut += 1;
    }
    // No other line may come that would take these along.
    this.#room ??= this.#sender.room().then(() => {
      this.#room = null;
      this.#pushHeld();
    });
  }

  /**
   * Resolves when the log cache has every line and every client that follows has read them, not before a client that
   * came with the log could have begun to follow, and at the latest after `withinMs` or when `signal` aborts. Never rejects.
   */
  async readable(signal: AbortSignal, withinMs = READABLE_MS): Promise<void> {
    const over = AbortSignal.any([signal, AbortSignal.timeout(withinMs)]);
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    over.addEventListener('abort', () => resolve(), { once: true });
    if (over.aborted) resolve();
    await Promise.race([this.#delivered(), ended]);
    try {
      await delay(Math.max(0, this.#firstReadBy - performance.now()), undefined, { signal: over });
      while (!over.aborted && (await this.#behind(over)) > 0) await delay(ASK_MS, undefined, { signal: over });
    } catch (error) {
      // A control of before has no such call: nobody can be waited for.
      if (over.aborted || (error instanceof ConnectError && error.code === Code.Unimplemented)) return;
      this.#log.warn('it is not known whether the end of a log was read', { error: messageOf(error) });
    }
  }

  async #delivered(): Promise<void> {
    await this.#sender.room();
    this.#pushHeld();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#sender.afterAll(resolve);
    await promise;
  }

  async #behind(signal: AbortSignal): Promise<number> {
    const { sourceId, tags } = this.#origin;
    const sourceType = tags['source_type'] ?? '';
    return (await this.#ingress.followers({ sourceId, sourceType }, { signal })).behind;
  }

  #pushHeld(): void {
    if (this.#leftOut > 0) this.#push({ payload: Buffer.from(`(${this.#leftOut} lines were left out)`), stderr: true });
    for (const line of this.#held) this.#push(line);
    this.#held = [];
    this.#leftOut = 0;
  }

  #push({ payload, stderr }: Line): void {
    this.#sender.push(logEnvelope(this.#origin, this.#nowNs(), payload, stderr));
  }
}
