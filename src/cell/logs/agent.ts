import { closeSync, constants, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@connectrpc/connect';
import { EnvelopeSender } from '../../contracts/envelope-sender.ts';
import type { Ingress } from '../../contracts/gen/loggregator_pb.js';
import { gaugeEnvelope, type LogOrigin, logEnvelope, nanosecondsOf } from '../../contracts/log-envelopes.ts';
import { messageOf } from '../../kit/errors.ts';
import type { Logger } from '../../kit/log.ts';
import { LineLog } from './line-log.ts';
import type { LogRateLimit } from './rate-limit.ts';
import { LineAssembler, type LogLine, parseRecord } from './records.ts';
import { FileTail, type Position } from './tail.ts';

/** Of two numbers of 16 digits at most. */
const POSITION_BYTES = 40;

export interface FollowOptions {
  /** Container handle and process id: under these the position is kept. */
  handle: string;
  processId: string;
  path: string;
  origin: LogOrigin;
  rateLimit: LogRateLimit;
}

/** The log of one process on its way. */
export interface Following {
  /** The process ended: reads the rest, then stops. Waits no longer than `graceMs` for room in the buffer. */
  finish(graceMs?: number): Promise<void>;
}

/**
 * Brings what apps write to their standard output and error to the log cache (LOG-01). How far each file was
 * acknowledged is kept on disk, so that a restart of the cell neither loses nor repeats lines.
 */
export class LogAgent {
  readonly #ingress: Client<typeof Ingress>;
  readonly #sender: EnvelopeSender;
  readonly #directory: string;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #tails = new Set<FileTail>();

  constructor(options: {
    ingress: Client<typeof Ingress>;
    /** Holds the positions; created. */
    directory: string;
    log: Logger;
    now?: () => number;
    maximumBufferBytes?: number;
  }) {
    this.#ingress = options.ingress;
    this.#sender = new EnvelopeSender(options.ingress, options.log, { mostBytes: options.maximumBufferBytes });
    this.#directory = options.directory;
    this.#log = options.log;
    this.#now = options.now ?? Date.now;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  follow(options: FollowOptions): Following {
    const positionFile = join(this.#directory, `${options.handle}.${options.processId}`);
    const lines = new LineAssembler();
    const send = (line: LogLine, acknowledged?: () => void) => this.#sendLimited(options, line, acknowledged);
    const tail = new FileTail(
      options.path,
      readPosition(positionFile),
      async (records, after) => {
        await this.#sender.room();
        const complete: LogLine[] = [];
        for (const raw of records) {
          const record = parseRecord(raw);
          const line = record && lines.push(record);
          if (line) complete.push(line);
        }
        const last = complete.length - 1;
        // Within a long line the position stays before it: its parts are read again after a restart.
        const keep = lines.idle ? () => writePosition(positionFile, after) : undefined;
        complete.forEach((line, i) => {
          send(line, i === last ? keep : undefined);
        });
      },
      (error) => this.#log.error('a log file can no longer be read', { path: options.path, error: messageOf(error) }),
    );
    this.#tails.add(tail);
    return {
      finish: async (graceMs = 5_000) => {
        const over = new AbortController();
        // The tail may be waiting for room while the log cache is away.
        const late = delay(graceMs, undefined, { signal: over.signal }).catch(() => {});
        await Promise.race([tail.finish(), late]);
        over.abort();
        void tail.abort();
        for (const line of lines.flush()) send(line);
        this.#tails.delete(tail);
      },
    };
  }

  /** Forgets positions of a container that is gone. */
  forget(handle: string, processId: string): void {
    rmSync(join(this.#directory, `${handle}.${processId}`), { force: true });
  }

  /** A line of the platform's own about an app. */
  line(origin: LogOrigin, text: string, stderr = false): void {
    this.#sender.offer(logEnvelope(origin, this.#nowNs(), Buffer.from(text), stderr));
  }

  /** The log of work that is not followed by file, and whose last lines say how it ended. */
  lines(origin: LogOrigin): LineLog {
    return new LineLog({
      ingress: this.#ingress,
      sender: this.#sender,
      origin,
      nowNs: () => this.#nowNs(),
      log: this.#log,
    });
  }

  gauge(origin: LogOrigin, metrics: Record<string, { unit: string; value: number }>): void {
    this.#sender.offer(gaugeEnvelope(origin, this.#nowNs(), metrics));
  }

  /** Sends what it can; files are read on from there by the next cell process. */
  async close(): Promise<void> {
    const closed = this.#sender.close();
    await Promise.all([...this.#tails].map((tail) => tail.abort()));
    await closed;
  }

  #sendLimited(options: FollowOptions, line: LogLine, acknowledged?: () => void): void {
    const verdict = options.rateLimit.admit(line.payload.length, this.#now());
    if (verdict === 'send') {
      this.#push(options.origin, line, acknowledged);
    } else if (verdict === 'tell') {
      const payload = Buffer.from(options.rateLimit.message);
      this.#push(options.origin, { timestampNs: line.timestampNs, stderr: true, payload }, acknowledged);
    } else if (acknowledged) {
      this.#sender.afterAll(acknowledged);
    }
  }

  #nowNs(): bigint {
    return nanosecondsOf(this.#now());
  }

  #push(origin: LogOrigin, line: LogLine, acknowledged?: () => void): void {
    const { timestampNs, stderr, payload } = line;
    this.#sender.push(logEnvelope(origin, timestampNs, payload, stderr), acknowledged);
  }
}

function readPosition(file: string): Position | null {
  try {
    const [inode, offset] = readFileSync(file, 'utf8').split(' ').map(Number);
    return Number.isSafeInteger(inode) && Number.isSafeInteger(offset) ? { inode: inode!, offset: offset! } : null;
  } catch {
    return null;
  }
}

/**
 * In place and in one write, which no kill parts: in a place of its own it would cost a rename, for which the file system writes to its
 * disk, with each batch of lines.
 */
function writePosition(file: string, { inode, offset }: Position): void {
  try {
    const descriptor = openSync(file, constants.O_WRONLY | constants.O_CREAT, 0o600);
    try {
      writeSync(descriptor, `${inode} ${offset}`.padEnd(POSITION_BYTES), 0);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // A full disk: after a restart some lines come twice.
  }
}
