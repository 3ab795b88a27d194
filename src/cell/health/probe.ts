import { get } from 'node:http';
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
  const timer = setTimeout(() => failed(timedOut(timeoutMs)), timeoutMs);
  socket.once('connect', () => resolve(null));
  socket.on('error', (error) => failed(reasonOf(error)));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

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
  const request = get(
    { host: address, port, path, agent: false, signal, headers: { 'user-agent': 'diego-healthcheck' } },
    (response) => {
      response.resume();
      const elapsed = Math.round(performance.now() - started);
      if (response.statusCode === 200) resolve(null);
      else failed(`received status code ${response.statusCode} in ${elapsed}ms`);
    },
  );
  const timer = setTimeout(() => failed(timedOut(timeoutMs)), timeoutMs);
  request.on('error', (error) => failed(reasonOf(error)));
  return promise.finally(() => {
    clearTimeout(timer);
    request.destroy();
  });
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
