import { createSecureServer, type Http2SecureServer } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { DescService } from '@bufbuild/protobuf';
import {
  type Client,
  Code,
  ConnectError,
  type ConnectRouter,
  createClient,
  createContextKey,
  createContextValues,
  createRouterTransport,
  type Interceptor,
  type Transport,
} from '@connectrpc/connect';
import { connectNodeAdapter, createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import type { Logger } from './log.ts';
import { followIdentity, type Identity, tlsOptions } from './tls.ts';

/** The common name of the peer's certificate; "local" inside one process. */
export const peerName = createContextKey<string>('', { description: 'peer name' });

/** The DNS names in the peer's certificate; null inside one process. A service uses them to tell one cell from another. */
export const peerDnsNames = createContextKey<readonly string[] | null>(null, { description: 'peer DNS names' });

/** Which peers may call which service: service type name → common names. A service that is missing may be called by nobody. */
export type PeerTable = Readonly<Record<string, readonly string[]>>;

export type Routes = (router: ConnectRouter) => void;

/** Refuses calls of peers the table does not name. */
export function authorizePeers(table: PeerTable): Interceptor {
  return (next) => async (request) => {
    const name = request.contextValues.get(peerName);
    if (name !== 'local' && !(table[request.service.typeName] ?? []).includes(name)) {
      throw new ConnectError(
        `${name || 'an unnamed peer'} may not call ${request.service.typeName}`,
        Code.PermissionDenied,
      );
    }
    return next(request);
  };
}

/** Calls inside one process, over the same typed contract. */
export function inMemoryTransport(routes: Routes): Transport {
  return createRouterTransport(routes);
}

/** A transport that is made at its first call, for services that stand later than their callers. */
export function lateTransport(make: () => Transport): Transport {
  let made: Transport | undefined;
  const transport = (): Transport => {
    made ??= make();
    return made;
  };
  return {
    unary: (...call) => transport().unary(...call),
    stream: (...call) => transport().stream(...call),
  };
}

/**
 * Calls to another process: gRPC over HTTP/2 and mutual TLS; the server's certificate must carry `serverName`. Once a live
 * identity is replaced, calls go over a new connection; those under way end on the old one. `localAddress`: which address to
 * call from.
 */
export function remoteTransport(
  baseUrl: string,
  identity: Identity,
  serverName: string,
  { timeoutMs = 15_000, localAddress }: { timeoutMs?: number; localAddress?: string } = {},
): Transport {
  const open = () => connection(baseUrl, identity, serverName, timeoutMs, localAddress);
  let made = open();
  const current = (): Transport => {
    if (made.cert !== identity.cert || made.ca !== identity.ca) {
      const old = made.sessionManager;
      setTimeout(() => old.abort(), timeoutMs + 5_000).unref();
      made = open();
    }
    return made.transport;
  };
  return {
    unary: (...call) => current().unary(...call),
    stream: (...call) => current().stream(...call),
  };
}

function connection(
  baseUrl: string,
  identity: Identity,
  serverName: string,
  timeoutMs: number,
  localAddress: string | undefined,
) {
  const { cert, ca } = identity;
  const nodeOptions = {
    ...tlsOptions(identity),
    servername: serverName,
    ...(localAddress === undefined ? {} : { localAddress }),
  };
  const sessionManager = new Http2SessionManager(
    baseUrl,
    { pingIntervalMs: 10_000, pingTimeoutMs: 5_000 },
    nodeOptions,
  );
  const transport = createGrpcTransport({ baseUrl, nodeOptions, sessionManager, defaultTimeoutMs: timeoutMs });
  return { cert, ca, sessionManager, transport };
}

/** HTTP/2's own 64 KiB would be a round trip each. */
export const STREAM_WINDOW_BYTES = 1024 ** 2;

/** A transport with connections of its own, for calls that last: no call has a time limit, and `close` ends them all. */
export function lastingTransport(
  baseUrl: string,
  identity: Identity,
  serverName: string,
): { transport: Transport; close: () => void } {
  const settings = { initialWindowSize: STREAM_WINDOW_BYTES };
  const nodeOptions = { ...tlsOptions(identity), servername: serverName, settings };
  const sessionManager = new Http2SessionManager(
    baseUrl,
    { pingIntervalMs: 10_000, pingTimeoutMs: 5_000, pingIdleConnection: true },
    nodeOptions,
  );
  return {
    // Without compression, which costs more than all the rest of such a call.
    transport: createGrpcTransport({ baseUrl, nodeOptions, sessionManager, acceptCompression: [] }),
    close: () => sessionManager.abort(),
  };
}

export function client<Service extends DescService>(service: Service, transport: Transport): Client<Service> {
  return createClient(service, transport);
}

export interface RpcServer {
  server: Http2SecureServer;
  close(): Promise<void>;
}

/** Serves `routes` under mutual TLS on `host:port`; the table decides which peer calls what. */
export async function serveRpc(options: {
  host: string;
  port: number;
  identity: Identity;
  peers: PeerTable;
  routes: Routes;
  /** What a client may send ahead on one call; for calls that carry much. */
  streamWindowBytes?: number;
  log: Logger;
}): Promise<RpcServer> {
  const handler = connectNodeAdapter({
    routes: options.routes,
    interceptors: [authorizePeers(options.peers)],
    contextValues: (request) => {
      const socket = request.socket as TLSSocket;
      const certificate = socket.authorized ? socket.getPeerCertificate() : undefined;
      const name = typeof certificate?.subject?.CN === 'string' ? certificate.subject.CN : '';
      return createContextValues().set(peerName, name).set(peerDnsNames, dnsNamesOf(certificate?.subjectaltname));
    },
  });
  const server = createSecureServer(
    {
      ...tlsOptions(options.identity),
      requestCert: true,
      rejectUnauthorized: true,
      ...(options.streamWindowBytes ? { settings: { initialWindowSize: options.streamWindowBytes } } : {}),
    },
    handler,
  );
  followIdentity(options.identity, server);
  server.on('tlsClientError', (error) => options.log.warn('a peer failed the TLS handshake', { error: error.message }));
  server.on('sessionError', () => {}); // the peer went away; its calls fail on their own
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(options.port, options.host, resolve);
  await promise;
  return {
    server,
    close: () => {
      for (const session of sessions) session.destroy();
      return new Promise((done) => server.close(() => done()));
    },
  };
}

/** Node's rendering of alternative names: `DNS:a, IP Address:10.0.0.1`; odd names are quoted and so never match. */
function dnsNamesOf(names = ''): string[] {
  return names
    .split(', ')
    .filter((name) => name.startsWith('DNS:'))
    .map((name) => name.slice(4));
}
