import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { create } from '@bufbuild/protobuf';
import type { Client } from '@connectrpc/connect';
import { type Envelope, EnvelopeBatchSchema, type Ingress } from '../contracts/gen/loggregator_pb.js';
import { messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import { accessLogEnvelope, parseAccessLog } from './access-log.ts';
import type { InstanceOwner } from './desired-state.ts';

const BATCH = 500;
const FLUSH_MS = 100;
const RETRY_MS = 1_000;
/** Envelopes kept while loggregator is away, about 20 MB; beyond it the oldest go. */
const KEPT = 20_000;
/** No line of HAProxy's ring is longer. */
const MAX_LINE = 65_536;

export interface AccessLogListenerOptions {
  /** Where to listen: a path to make, or a listening socket that is there. */
  socket: { path: string } | { descriptor: number };
  routerIndex: string;
  ingress: Client<typeof Ingress>;
  /** Whose an instance is; undefined for one never heard of. */
  ownerOf: (instanceGuid: string) => InstanceOwner | undefined;
  /** HAProxy connected: it may be a new process. */
  onConnect: () => void;
  log: Logger;
}

/** Takes HAProxy's access log and sends it on as RTR envelopes, in order and in batches. */
export class AccessLogListener {
  readonly #options: AccessLogListenerOptions;
  readonly #connections = new Set<Socket>();
  #server: Server | undefined;
  #queue: Envelope[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | null = null;
  #closed = false;
  #dropped = 0;
  #unreadable = 0;

  constructor(options: AccessLogListenerOptions) {
    this.#options = options;
  }

  /** A socket it makes can be used by its owner and its group; the directory says which group that is. */
  async start(): Promise<void> {
    const { socket } = this.#options;
    if ('path' in socket) rmSync(socket.path, { force: true }); // of a process that was killed; nobody listens there
    const server = createServer((connection) => this.#accept(connection));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject);
    server.listen('path' in socket ? socket.path : { fd: socket.descriptor }, resolve);
    await promise;
    if ('path' in socket) chmodSync(socket.path, 0o660);
    this.#server = server;
  }

  status(): { queued: number; dropped: number; unreadable: number } {
    return { queued: this.#queue.length, dropped: this.#dropped, unreadable: this.#unreadable };
  }

  /** Sends what is queued, once, and ends. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const connection of this.#connections) connection.destroy();
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#server) this.#server.close(() => resolve());
    else resolve();
    await promise;
    await this.#sending;
    await this.#flush();
  }

  #accept(connection: Socket): void {
    this.#connections.add(connection);
    this.#options.onConnect();
    let rest = '';
    connection.setEncoding('latin1');
    connection.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!.slice(0, MAX_LINE);
      for (const line of lines) this.#take(line);
      this.#schedule(FLUSH_MS);
    });
    connection.on('error', () => {}); // HAProxy ended; it connects again
    connection.on('close', () => this.#connections.delete(connection));
  }

  #take(line: string): void {
    const entry = parseAccessLog(line);
    if (!entry) {
      this.#unreadable += 1;
      return;
    }
    const instance = this.#options.ownerOf(entry.instanceGuid);
    if (!instance) return; // no app was asked
    if (this.#queue.length >= KEPT) {
      this.#queue.splice(0, BATCH);
      this.#dropped += BATCH;
    }
    this.#queue.push(accessLogEnvelope(entry, instance, this.#options.routerIndex));
  }

  #schedule(ms: number): void {
    if (this.#closed || this.#timer || this.#sending || this.#queue.length === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#sending = this.#flush().then((delivered) => {
        this.#sending = null;
        this.#schedule(delivered ? FLUSH_MS : RETRY_MS);
      });
    }, ms);
  }

  /** False when loggregator does not take them; they stay queued. */
  async #flush(): Promise<boolean> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, BATCH);
      try {
        await this.#options.ingress.send(create(EnvelopeBatchSchema, { batch }));
      } catch (error) {
        this.#queue = [...batch, ...this.#queue].slice(-KEPT);
        this.#options.log.warn('loggregator did not take access-log lines; they are kept', {
          error: messageOf(error),
          queued: this.#queue.length,
        });
        return false;
      }
    }
    return true;
  }
}
