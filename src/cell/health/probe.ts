import { get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { HealthCheck } from '../../contracts/gen/diego_pb.js';

/** Asks an instance once how it is: null when it is well, else why not, in words for its developer. */
export type Probe = (signal: AbortSignal) => Promise<string | null>;

/**
 * The probe of a health check against a container, made from the host. "process" needs none: null is returned, and
 * the instance is well as long as its process runs.
 */
export function createProbe(check: HealthCheck | undefined, address: string, port: number): Probe | null {
  const timeoutMs = (check?.invocationTimeoutSeconds || 1) * 1000;
  switch (check?.type || 'port') {
    case 'process':
      return null;
    case 'http':
      return (signal) => probeHttp(address, port, check?.httpEndpoint || '/', timeoutMs, signal);
    default:
      return (signal) => probePort(address, port, timeoutMs, signal);
  }
}

/** The probe of a readiness check; null where there is none and what runs is ready. */
export function createReadinessProbe(check: HealthCheck | undefined, address: string, port: number): Probe | null {
  return check === undefined || check.type === '' ? null : createProbe(check, address, port);
}

function probePort(address: string, port: number, timeoutMs: number, signal: AbortSignal): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const failed = (why: string) => resolve(`Failed to make TCP connection to ${address}:${port}: ${why}`);
  const socket = connect({ host: address, port, signal });
  const stop = afterWaiting(timeoutMs, () => failed(timedOut(timeoutMs)));
  socket.once('connect', () => resolve(null));
  socket.on('error', (error) => failed(reasonOf(error)));
  return promise.finally(() => {
    stop();
    socket.destroy();
  });
}

/** As many as Go's HTTP client follows, with which Diego asks. */
const MOST_REDIRECTS = 10;

function probeHttp(
  address: string,
  port: number,
  path: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const failed = (why: string) => resolve(`Failed to make HTTP request to '${path}' on port ${port}: ${why}`);
  const started = performance.now();
  const over = new AbortController();
  const ask = (target: string, redirects: number): void => {
    const url = urlOf({ address, port, path: target });
    if (url === null) {
      failed('it is not a path');
      return;
    }
    const request = get({
      host: address,
      port,
      path: `${url.pathname}${url.search}`,
      agent: false,
      signal: AbortSignal.any([signal, over.signal]),
      // As Diego asks: an app that sends plain HTTP away to HTTPS must not take this for such a request.
      headers: { 'user-agent': 'diego-healthcheck', 'x-forwarded-proto': 'https' },
    });
    request.on('response', (response) => {
      response.resume();
      const next = redirects < MOST_REDIRECTS ? redirectOf(response, { address, port, path: target }) : null;
      if (response.statusCode === 200) resolve(null);
      else if (next !== null) ask(next, redirects + 1);
      else failed(`received status code ${response.statusCode} in ${Math.round(performance.now() - started)}ms`);
    });
    request.on('error', (error) => failed(reasonOf(error)));
  };
  const stop = afterWaiting(timeoutMs, () => failed(timedOut(timeoutMs)));
  ask(path, 0);
  return promise.finally(() => {
    stop();
    over.abort();
  });
}

const PARTS = 10;

/**
 * Calls back after so long of waiting, unless what it gives is called before. A time in which this process stood still (no processor, a
 * suspended machine) counts for a tenth at most: the answer may have come in it, and is looked at before its time is over.
 */
function afterWaiting(ms: number, over: () => void): () => void {
  let left = PARTS;
  let last: NodeJS.Immediate | undefined;
  const timer = setInterval(() => {
    left -= 1;
    if (left > 0) return;
    clearInterval(timer);
    last = setImmediate(over); // after what came meanwhile
  }, ms / PARTS);
  return () => {
    clearInterval(timer);
    clearImmediate(last);
  };
}

/**
 * The path a redirect leads to; null for an answer that is none. It must stay with the instance: the probe is made from the
 * host, which reaches more than a container does.
 */
function redirectOf(response: IncomingMessage, asked: { address: string; port: number; path: string }): string | null {
  const { location } = response.headers;
  if (location === undefined || ![301, 302, 303, 307, 308].includes(response.statusCode ?? 0)) return null;
  const base = urlOf(asked);
  const target = base && URL.parse(location, base);
  return target && target.origin === base.origin ? `${target.pathname}${target.search}` : null;
}

/** With all percent-encoded that HTTP cannot say as it is. */
function urlOf({ address, port, path }: { address: string; port: number; path: string }): URL | null {
  return path.startsWith('/') ? URL.parse(`http://${address}:${port}${path}`) : null;
}

function timedOut(timeoutMs: number): string {
  return `timed out after ${(timeoutMs / 1000).toFixed(2)} seconds`;
}

function reasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return 'connection refused';
    case 'ECONNRESET':
      return 'connection reset by the app';
    default:
      return error.code ?? error.message;
  }
}
