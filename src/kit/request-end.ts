import type { IncomingMessage, ServerResponse } from 'node:http';
import { boundUntaken } from './answer.ts';

const responses = new WeakMap<IncomingMessage, ServerResponse>();
const signals = new WeakMap<IncomingMessage, AbortSignal>();

/** Aborts when a request's connection ends or its answer is sent: work for it that has not begun is nobody's any more. */
export function goneSignal(request: IncomingMessage): AbortSignal {
  const known = signals.get(request);
  if (known) return known;
  const controller = new AbortController();
  signals.set(request, controller.signal);
  const response = responses.get(request);
  response?.once('close', () => controller.abort());
  if (response?.closed) controller.abort();
  return controller.signal;
}

const UNREAD_BYTES = 256 * 1024;
const UNREAD_MS = 2_000;
const bounded = new WeakSet<ServerResponse>();

/**
 * Bounds what is still taken of a body once its request is answered: Node would read it to its end, however long that is. A
 * short rest is read, so that the connection serves on; a long one holds it for two seconds, so that the answer is read.
 */
export function boundUnread(request: IncomingMessage, response: ServerResponse): void {
  if (bounded.has(response)) return;
  bounded.add(response);
  responses.set(request, response);
  boundUntaken(response);
  // Before Node's own listener, which would give up counting and throw away whatever comes.
  response.prependOnceListener('finish', () => {
    if (request.complete) return;
    let left = UNREAD_BYTES;
    const onData = (chunk: Buffer): void => {
      left -= chunk.length;
      if (left < 0) request.pause();
    };
    const cut = setTimeout(() => request.destroy(), UNREAD_MS);
    const over = (): void => clearTimeout(cut);
    request.on('error', () => {}); // the client went away
    request.once('end', over).once('close', over).on('data', onData);
    request.read(0);
    request.resume();
  });
}
