import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { Client } from '@connectrpc/connect';
import { EnvelopeSender } from '../contracts/envelope-sender.ts';
import type { Ingress } from '../contracts/gen/loggregator_pb.js';
import type { Logger } from '../kit/log.ts';
import { accessLogEnvelope, parseAccessLog } from './access-log.ts';
import type { InstanceOwner } from './process-routes.ts';

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
  readonly #sender: EnvelopeSender;
  #server: Server | undefined;
  #unreadable = 0;

  constructor(options: AccessLogListenerOptions) {
    this.#options = options;
    this.#sender = new EnvelopeSender(options.ingress, options.log, { leavesOut: 'oldest' });
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
    const { waiting, leftOut } = this.#sender.status();
    return { queued: waiting, dropped: leftOut, unreadable: this.#unreadable };
  }

  /** Sends what is queued, as far as that is soon done, and ends. */
  async close(): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#server) this.#server.close(() => resolve());
    else resolve();
    await promise;
    await this.#sender.close();
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
    this.#sender.offer(accessLogEnvelope(entry, instance, this.#options.routerIndex));
  }
}
