import { connect, type Socket } from 'node:net';
import type { Client } from '@connectrpc/connect';
import { EnvelopeSender } from '../contracts/envelope-sender.ts';
import type { Ingress } from '../contracts/gen/loggregator_pb.js';
import { messageOf } from '../kit/errors.ts';
import { HaproxySocket } from '../kit/haproxy.ts';
import type { Logger } from '../kit/log.ts';
import { withOwnSocket } from '../kit/owned-files.ts';
import { accessLogEnvelope, parseAccessLog } from './access-log.ts';
import { type Position, Positions } from './access-log-position.ts';
import type { InstanceOwner } from './process-routes.ts';
import { ACCESS_RING } from './settings.ts';

/** No line of HAProxy's ring is longer. */
const MAX_LINE = 65_536;
/** How often it is looked which HAProxy serves. */
const LOOK_MS = 500;
/** How long one that has a successor may say nothing: as long as it is read, it does not end. */
const FORMER_MS = 5_000;

export interface AccessLogReaderOptions {
  /** HAProxy's, by which it is driven. */
  socket: string;
  stateDirectory: string;
  routerIndex: string;
  ingress: Client<typeof Ingress>;
  /** Whose an instance is; undefined for one never heard of. */
  ownerOf: (instanceGuid: string) => InstanceOwner | undefined;
  /** A HAProxy is read from now on: it may be a new process. */
  onConnect: () => void;
  log: Logger;
}

/**
 * Takes HAProxy's access log out of its ring and sends it on as RTR envelopes, in order and in batches. The ring holds lines that were
 * taken, too: who comes after a control that was killed goes on where that one was, and none is lost on the way.
 */
export class AccessLogReader {
  readonly #options: AccessLogReaderOptions;
  readonly #haproxy: HaproxySocket;
  readonly #positions: Positions;
  readonly #sender: EnvelopeSender;
  /** By process. */
  readonly #readings = new Map<string, Reading>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  #unreadable = 0;

  constructor(options: AccessLogReaderOptions) {
    this.#options = options;
    this.#haproxy = new HaproxySocket(options.socket, { timeoutMs: 2_000 });
    this.#positions = new Positions(options.stateDirectory);
    this.#sender = new EnvelopeSender(options.ingress, options.log, { leavesOut: 'oldest' });
  }

  async start(): Promise<void> {
    this.#positions.load();
    await this.#look();
  }

  status(): { queued: number; dropped: number; unreadable: number } {
    const { waiting, leftOut } = this.#sender.status();
    return { queued: waiting, dropped: leftOut, unreadable: this.#unreadable };
  }

  /** Sends what is queued, as far as that is soon done, and ends. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const { socket } of this.#readings.values()) socket.destroy();
    await this.#sender.close();
    this.#write();
  }

  #write(): void {
    try {
      this.#positions.write();
    } catch (error) {
      this.#options.log.warn('it is not noted how far the access log was read', { error: messageOf(error) });
    }
  }

  async #look(): Promise<void> {
    try {
      const process = await this.#haproxy.process();
      for (const [one, reading] of this.#readings)
        if (one !== process && Date.now() - reading.heardAt > FORMER_MS) reading.socket.destroy();
      if (!this.#isClosed && !this.#readings.has(process)) await this.#read(process);
    } catch {
      // No HAProxy at the moment; whoever drives it says so.
    }
    this.#write();
    if (!this.#isClosed) this.#timer = setTimeout(() => void this.#look(), LOOK_MS);
  }

  /** Has the lines of a process taken from now on. */
  async #read(process: string): Promise<void> {
    const socket = await withOwnSocket(this.#options.socket, (path) => opened(path));
    const reading: Reading = { socket, heardAt: Date.now() };
    this.#readings.set(process, reading);
    let rest = '';
    const isNew = newLines(this.#positions.of(process));
    socket.setEncoding('latin1');
    socket.on('data', (chunk) => {
      reading.heardAt = Date.now();
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!.slice(0, MAX_LINE);
      for (const line of lines) if (isNew(line)) this.#take(process, line);
    });
    socket.on('close', () => this.#readings.delete(process));
    socket.write(`show events ${ACCESS_RING} -w\n`);
    this.#options.onConnect();
  }

  #take(process: string, line: string): void {
    const entry = parseAccessLog(line);
    if (!entry) {
      this.#unreadable += 1;
      return;
    }
    const instance = this.#options.ownerOf(entry.instanceGuid);
    if (!instance) return; // no app was asked
    const position = { answeredAt: timeOf(line), line: nameOf(line) };
    // Those after it are read again where this process is killed; the log cache knows what it has.
    this.#sender.offer(accessLogEnvelope(entry, instance, this.#options.routerIndex), () =>
      this.#positions.note(process, position),
    );
  }
}

interface Reading {
  socket: Socket;
  heardAt: number;
}

function opened(path: string): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect(path, () => resolve(socket));
  socket.on('error', reject); // later: HAProxy ended; another one is looked for
  return promise;
}

/** Threads write at the same time what they made one after the other. */
const JITTER_US = 1_000_000;

const timeOf = (line: string) => Number(line.split(' ', 2)[1]);
/** Of a line: when, and the request's id, of which an instance after the other may have lines. */
const nameOf = (line: string) => {
  const words = line.split(' ', 14);
  return `${words[1]} ${words[13]}`;
};

/** Leaves out what was taken before, and what is no request's. Lines come in order; where the last one is not there any more, all are newer. */
function newLines(last: Position | undefined): (line: string) => boolean {
  let isPast = last !== undefined;
  return (line) => {
    if (!line.startsWith('v1 ')) return false;
    if (!isPast || !last) return true;
    if (timeOf(line) > last.answeredAt + JITTER_US) isPast = false;
    else if (nameOf(line) === last.line) {
      isPast = false;
      return false;
    }
    return !isPast;
  };
}
