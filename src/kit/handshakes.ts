import type { Socket } from 'node:net';
import type { Server, TLSSocket } from 'node:tls';
import type { Logger } from './log.ts';

/** How long a peer may take to show its certificate; for `handshakeTimeout` of the server. */
export const HANDSHAKE_MS = 10_000;
/** Connections that one listener keeps whose peer has not shown its certificate yet. */
export const MOST_HANDSHAKES = 256;
/** Failures are told once in this time, with how many there were. */
const TELL_MS = 10_000;

/** What there is of node:tls, node:https and node:http2 here: all are servers of node:tls. */
type TlsServer = Pick<Server, 'on' | 'once'>;

/**
 * Bounds what a listener holds for peers that are nobody yet. One more than the most, and the connection that has waited for longest
 * ends: a peer that has a certificate shows it at once, so whoever connects and is silent displaces its like. Tells of
 * handshakes that fail, now and then.
 */
export function boundHandshakes(server: TlsServer, log: Logger, most = MOST_HANDSHAKES): void {
  /** By where they come from, which is one connection's alone, in the order in which they came. */
  const waiting = new Map<string, Socket>();
  /** `displaced` are among those that failed. */
  const failures = { displaced: 0, failed: 0, error: '' };
  let telling: NodeJS.Timeout | undefined;
  const tell = (): void => {
    log.warn('peers failed the TLS handshake', { ...failures });
    Object.assign(failures, { displaced: 0, failed: 0, error: '' });
  };
  const soon = (): void => {
    if (telling !== undefined) return;
    tell();
    telling = setTimeout(() => {
      telling = undefined;
      if (failures.displaced + failures.failed > 0) soon();
    }, TELL_MS).unref();
  };
  server.on('connection', (socket: Socket) => {
    const key = keyOf(socket);
    waiting.set(key, socket);
    socket.once('close', () => {
      if (waiting.get(key) === socket) waiting.delete(key);
    });
    const [oldest] = waiting;
    if (waiting.size <= most || oldest === undefined) return;
    waiting.delete(oldest[0]);
    oldest[1].destroy();
    failures.displaced += 1;
    soon();
  });
  server.on('secureConnection', (socket: TLSSocket) => void waiting.delete(keyOf(socket)));
  server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
    failures.failed += 1;
    failures.error = error.message;
    soon();
    socket.destroy();
  });
  server.once('close', () => clearTimeout(telling));
}

function keyOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`;
}
