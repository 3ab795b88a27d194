import type { Socket } from 'node:net';
import type { Duplex, Writable } from 'node:stream';

/** What one connection may have waiting to be sent, whatever windows its client grants. */
const SOCKET_BYTES = 1024 ** 2;

/** Messages for a call that streams: `put` resolves when the message was taken, so that its source can wait. */
export class Outbox<Message> implements AsyncIterable<Message> {
  readonly #waiting: { message: Message; taken: () => void }[] = [];
  #wake: () => void = () => {};
  #closed = false;

  get length(): number {
    return this.#waiting.length;
  }

  put(message: Message): Promise<void> {
    if (this.#closed) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ message, taken: resolve });
    this.#wake();
    return promise;
  }

  /** Nothing comes any more; what waits is dropped. */
  close(): void {
    this.#closed = true;
    for (const { taken } of this.#waiting.splice(0)) taken();
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    while (!this.#closed) {
      const next = this.#waiting.shift();
      if (next) {
        next.taken();
        yield next.message;
      } else {
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#wake = resolve;
        await promise;
      }
    }
  }
}

/** Reads a channel chunk by chunk, the next one only when the last was taken. */
export function drainInto(channel: Duplex, take: (chunk: Buffer) => Promise<void>, end: () => void): void {
  channel.on('data', (chunk: Buffer) => {
    channel.pause();
    void take(chunk).then(() => channel.resume());
  });
  channel.once('end', end);
}

/** Writes to a channel of a connection and waits for its window and for the connection itself; gives up when `gone` aborts. */
export async function writeThrough(to: Writable, bytes: Uint8Array, socket: Socket, gone: AbortSignal): Promise<void> {
  const over = Promise.withResolvers<void>();
  const stop = () => over.resolve();
  gone.addEventListener('abort', stop, { once: true });
  if (!gone.aborted) await Promise.race([over.promise, new Promise<void>((done) => to.write(bytes, () => done()))]);
  if (!gone.aborted && socket.writableLength > SOCKET_BYTES) {
    await Promise.race([over.promise, new Promise<void>((done) => socket.once('drain', done))]);
  }
  gone.removeEventListener('abort', stop);
}
