import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import { createSecureContext, type Server, type TLSSocket } from 'node:tls';

/** TLS of every platform listener and client: 1.2 or newer, few strong suites (TLS-04, TLS-05). */
const MINIMUM_TLS_VERSION = 'TLSv1.2' as const;

export const CIPHER_SUITES_TLS12 = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
] as const;
export const CIPHER_SUITES_TLS13 = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
] as const;

/** A component's own certificate chain and key, and the roots it accepts peers under. All PEM. */
export interface Identity {
  cert: string;
  key: string;
  ca: string;
}

/** Options of node:tls, node:https and node:http2 for a component. */
export function tlsOptions(identity: Identity): {
  cert: string;
  key: string;
  ca: string;
  minVersion: 'TLSv1.2';
  ciphers: string;
} {
  return {
    cert: identity.cert,
    key: identity.key,
    ca: identity.ca,
    minVersion: MINIMUM_TLS_VERSION,
    ciphers: [...CIPHER_SUITES_TLS13, ...CIPHER_SUITES_TLS12].join(':'),
  };
}

/**
 * An identity that may be replaced while it is in use: `tlsOptions` reads what holds now, servers and transports of `kit/`
 * follow it, and connections that are open stay (SECURITY-TESTS 35).
 */
export class LiveIdentity implements Identity {
  #current: Identity;
  readonly #followers = new Set<() => void>();

  constructor(first: Identity) {
    this.#current = { cert: first.cert, key: first.key, ca: first.ca };
  }

  get cert(): string {
    return this.#current.cert;
  }

  get key(): string {
    return this.#current.key;
  }

  /** May hold more than one root: while one takes the place of another both are trusted. */
  get ca(): string {
    return this.#current.ca;
  }

  /** Throws where certificate and key do not belong together; then the former stays. */
  replace(next: Identity): void {
    createSecureContext(tlsOptions(next));
    this.#current = { cert: next.cert, key: next.key, ca: next.ca };
    for (const follow of this.#followers) follow();
  }

  /** Called after each replacement. Gives what ends it. */
  onReplaced(follow: () => void): () => void {
    this.#followers.add(follow);
    return () => this.#followers.delete(follow);
  }
}

/** Calls `change` whenever the identity is replaced; never for one that cannot be. Gives what ends it. */
export function onIdentityReplaced(identity: Identity, change: () => void): () => void {
  return identity instanceof LiveIdentity ? identity.onReplaced(change) : () => {};
}

/** Has a listening server show and demand what the identity holds, from the next handshake on. */
export function followIdentity(identity: Identity, server: Pick<Server, 'setSecureContext' | 'once'>): void {
  const end = onIdentityReplaced(identity, () => server.setSecureContext(tlsOptions(identity)));
  server.once('close', end);
}

/** Who is at the other end of a TLS connection, by its certificate. */
export interface Peer {
  /** Its common name; empty where nobody vouches for it. */
  name: string;
  dnsNames: readonly string[];
}

/** By connection; of HTTP/2 that is the session, whose requests each show a socket of their own. */
const peers = new WeakMap<object, Peer>();

/** Who sends a request. It is read once for all that come by the same connection. */
export function peerOf(request: IncomingMessage | Http2ServerRequest): Peer {
  const connection = ('stream' in request ? request.stream.session : request.socket) ?? request;
  const known = peers.get(connection);
  if (known) return known;
  const socket = request.socket as TLSSocket;
  const certificate = socket.authorized ? socket.getPeerCertificate() : undefined;
  const name = typeof certificate?.subject?.CN === 'string' ? certificate.subject.CN : '';
  const peer = { name, dnsNames: dnsNamesOf(certificate?.subjectaltname) };
  peers.set(connection, peer);
  return peer;
}

/** Node's rendering of alternative names: `DNS:a, IP Address:10.0.0.1`; odd names are quoted and so never match. */
function dnsNamesOf(names = ''): string[] {
  return names
    .split(', ')
    .filter((name) => name.startsWith('DNS:'))
    .map((name) => name.slice(4));
}
