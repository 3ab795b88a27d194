import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { BodyAccount, type BodyLimits, type Entry, type HeldBodies, overloaded } from './body-account.ts';
import { HttpRefusal } from './refusal.ts';
import { readLater } from './streams.ts';

/** Bodies that lie in memory until their request is answered. */
export const TEXT_LIMITS: BodyLimits = {
  bodies: 1_000,
  bodiesPerCaller: 100,
  bytes: 96 * 1024 ** 2,
  bytesPerCaller: 24 * 1024 ** 2,
  bodiesAlways: 4,
  bytesAlways: 256 * 1024,
};

/** Bodies that are written to disk as they come. */
export const UPLOAD_LIMITS: BodyLimits = {
  bodies: 128,
  bodiesPerCaller: 32,
  bytes: 32 * 1024 ** 3,
  bytesPerCaller: 8 * 1024 ** 3,
  bodiesAlways: 2,
  // The disk's own bounds are others' (DiskRoom, an organization's share of the storage).
  bytesAlways: 2 * 1024 ** 3,
};

export interface Pace {
  /** A text is there within this time. */
  textMs: number;
  /** Within each such time a stream brings at least so much. */
  streamMs: number;
  streamBytes: number;
  /** And after the first `graceMs` so much a second, on the average: it has an end, by its size. */
  bytesPerSecond: number;
  graceMs: number;
}

/** A gigabyte is there within five hours. */
const PACE: Pace = {
  textMs: 60_000,
  streamMs: 30_000,
  streamBytes: 128 * 1024,
  bytesPerSecond: 64 * 1024,
  graceMs: 5 * 60_000,
};

/**
 * Takes the bodies of an API's requests: each bounded in size and time, and all together, and those of one caller, in number
 * and bytes. Nothing is read before `text` or `stream` is called.
 */
export class BodyReader {
  readonly #account: BodyAccount;
  readonly #pace: Pace;

  constructor(limits: BodyLimits, pace: Partial<Pace> = {}) {
    this.#account = new BodyAccount(limits);
    this.#pace = { ...PACE, ...pace };
  }

  /** What is held now, of all callers. */
  get held(): Readonly<HeldBodies> {
    return this.#account.held;
  }

  /** The whole body as text. It counts until the request is answered. Throws HttpRefusal. */
  async text(request: IncomingMessage, response: ServerResponse, caller: string, maxBytes: number): Promise<string> {
    const bytes = await this.#bytes(request, this.#enter(request, response, caller, maxBytes), maxBytes);
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch (cause) {
      throw new HttpRefusal('malformed_request', 'the request body is not valid UTF-8', { cause });
    }
  }

  /**
   * The body as it comes; it fails with HttpRefusal, also before anybody reads it. Destroying it leaves the connection as it is,
   * to be answered on.
   */
  stream(request: IncomingMessage, response: ServerResponse, caller: string, maxBytes: number): Readable {
    const body = new BoundedBody(request, this.#enter(request, response, caller, maxBytes), maxBytes, this.#pace);
    // What an answer leaves unread is bounded where answers are, and is nobody's to keep.
    response.once('finish', () => body.leave());
    return readLater(body);
  }

  /** An entry for texts that are read out of a stream: they count as a body of their own until the request is answered. */
  entry(response: ServerResponse, caller: string): Entry {
    return this.#account.enter(response, caller);
  }

  #enter(request: IncomingMessage, response: ServerResponse, caller: string, maxBytes: number): Entry {
    if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
    return this.#account.enter(response, caller);
  }

  #bytes(request: IncomingMessage, entry: Entry, maxBytes: number): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (): void => {
      clearTimeout(timer);
      request.off('data', onData).off('end', onEnd).off('close', onClose);
      chunks.length = 0; // what counts no more lies in memory no more, however long the request lives on
    };
    const refuse = (error: unknown): void => {
      settle();
      request.pause();
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      try {
        if (size > maxBytes) throw tooLarge();
        entry.add(chunk.length);
        chunks.push(chunk);
      } catch (error) {
        refuse(error);
      }
    };
    const onEnd = (): void => {
      const whole = Buffer.concat(chunks);
      settle();
      resolve(whole);
    };
    const onClose = (): void => refuse(brokenOff());
    const timer = setTimeout(() => refuse(tooSlow()), this.#pace.textMs);
    request.on('error', closeTells);
    request.on('end', onEnd).on('close', onClose).on('data', onData);
    if (request.closed) onClose();
    return promise;
  }
}

/** A request's body with bounds, and with an end of its own. */
class BoundedBody extends Readable {
  readonly #request: IncomingMessage;
  readonly #entry: Entry;
  readonly #maxBytes: number;
  readonly #timer: NodeJS.Timeout;
  #size = 0;
  #lately = 0;
  #waitedMs = 0;
  #left = false;
  /** Whoever reads is slower than the client, who is not to blame then. */
  #heldBack = true;

  constructor(request: IncomingMessage, entry: Entry, maxBytes: number, pace: Pace) {
    super();
    this.#request = request;
    this.#entry = entry;
    this.#maxBytes = maxBytes;
    request.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose).on('error', this.#onClose);
    request.pause();
    this.#timer = setInterval(() => {
      if (!this.#heldBack) {
        this.#waitedMs += pace.streamMs;
        const least = ((this.#waitedMs - pace.graceMs) / 1000) * pace.bytesPerSecond;
        if (this.#lately < pace.streamBytes || this.#size < least) this.destroy(tooSlow());
      }
      this.#heldBack = this.#request.isPaused();
      this.#lately = 0;
    }, pace.streamMs).unref();
    // Its client went away while the headers were judged.
    if (request.closed) this.destroy(brokenOff());
  }

  override _read(): void {
    this.#request.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#detach();
    if (!this.#left) this.#request.pause();
    callback(error);
  }

  /** Ends it without a word to the request, of which somebody else takes the rest. */
  leave(): void {
    this.#left = true;
    this.destroy();
  }

  #detach(): void {
    clearInterval(this.#timer);
    this.#request.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#size += chunk.length;
    this.#lately += chunk.length;
    if (this.#size > this.#maxBytes) return void this.destroy(tooLarge());
    try {
      this.#entry.add(chunk.length);
    } catch (error) {
      return void this.destroy(error instanceof Error ? error : overloaded());
    }
    if (this.push(chunk)) return;
    this.#heldBack = true;
    this.#request.pause();
  };

  readonly #onEnd = (): void => {
    this.push(null);
  };

  readonly #onClose = (): void => {
    if (!this.#request.readableEnded) this.destroy(brokenOff());
  };
}

/** Whether a request announces a body at all. */
export function hasBody({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** For a request that lives on after its body was read: it keeps nothing of that. */
function closeTells(): void {}

function tooLarge(): HttpRefusal {
  return new HttpRefusal('body_too_large', 'the request body is too large');
}

function tooSlow(): HttpRefusal {
  return new HttpRefusal('body_too_slow', 'the request body did not come in time');
}

function brokenOff(): HttpRefusal {
  return new HttpRefusal('malformed_request', 'the request body broke off');
}
