import { codeOf } from './errors.ts';
import type { Logger } from './log.ts';
import { HttpRefusal } from './refusal.ts';

/** Ends of connections: whoever waits on one is told by its own error or close, and nothing of ours is half done. */
const OF_A_CONNECTION = new Set([
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_WRITE_AFTER_END',
  'ERR_STREAM_DESTROYED',
  'ERR_HTTP2_STREAM_ERROR',
  'ERR_HTTP2_SESSION_ERROR',
  'ERR_HTTP2_INVALID_STREAM',
]);
/** As sysexits.h has it: a fault in the program itself. The supervisor starts it again. */
export const EXIT_SOFTWARE = 70;

export interface Faults {
  /** What nobody caught since the process began, and of that what was a connection's alone. */
  uncaught: number;
  ofConnections: number;
  rejections: number;
}

/** All of them, for whoever reports. */
export function countOf({ uncaught, rejections }: Readonly<Faults>): number {
  return uncaught + rejections;
}

/**
 * Whether an error that nobody caught belongs to one connection, so that everybody else can be served on. What a request's body
 * is refused for is the request's alone: it comes from a stream whose reader learns of it, or is not there any more.
 */
function isOfAConnection(error: unknown): boolean {
  if (error instanceof HttpRefusal) return true;
  return OF_A_CONNECTION.has(codeOf(error) ?? '');
}

/**
 * What a process does with errors that nobody caught (decision 0017): each is logged with its stack and counted; the end of a
 * connection ends nothing else; after anything else what is in memory cannot be relied upon, so the process ends and is
 * started anew. A promise that nobody waits for left no half-done step behind: it is logged and counted.
 */
export function handleFaults(log: Logger, target: Pick<NodeJS.Process, 'on' | 'exit'> = process): Readonly<Faults> {
  const faults: Faults = { uncaught: 0, ofConnections: 0, rejections: 0 };
  target.on('uncaughtException', (error: unknown) => {
    faults.uncaught += 1;
    if (isOfAConnection(error)) {
      faults.ofConnections += 1;
      log.error('an error of a connection was caught nowhere; the process goes on', { error, ...faults });
      return;
    }
    log.error('an error was caught nowhere; the process ends and is started anew', { error, ...faults });
    target.exit(EXIT_SOFTWARE);
  });
  target.on('unhandledRejection', (error: unknown) => {
    faults.rejections += 1;
    log.error('an unhandled rejection', { error, ...faults });
  });
  return faults;
}
