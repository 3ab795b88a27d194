import { createSecureServer, type Http2SecureServer, type Http2ServerRequest, Http2ServerResponse } from 'node:http2';
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
import { boundHandshakes, HANDSHAKE_MS } from './handshakes.ts';
import type { Logger } from './log.ts';
import { MessageAccount } from './rpc-messages.ts';
import { followIdentity, type Identity, peerOf, tlsOptions } from './tls.ts';

/** The common name of the peer's certificate; "local" inside one process. */
export const peerName = createContextKey<string>('', { description: 'peer name' });

/** The DNS names in the peer's certificate; null inside one process. A service uses them to tell one cell from another. */
export const peerDnsNames = createContextKey<readonly string[] | null>(null, { description: 'peer DNS names' });

/** Which peers may call which service: service type name → common names. A service that is missing may be called by nobody. */
export type PeerTable = Readonly<Record<string, readonly string[]>>;

export type Routes = (router: ConnectRouter) => void;

function mayCall(table: PeerTable, name: string, service: string): boolean {
  return Object.hasOwn(table, service) && (table[service] ?? []).includes(name);
}

/** Refuses calls of peers the table does not name. */
export function authorizePeers(table: PeerTable): Interceptor {
  return (next) => async (request) => {
    const name = request.contextValues.get(peerName);
    if (name !== 'local' && !mayCall(table, name, request.service.typeName)) {
      throw new ConnectError(
        `${name || 'an unnamed peer'} may not call ${request.service.typeName}`,
        Code.PermissionDenied,
      );
    }
    return next(request);
  };
}

/** The largest message that a server takes; the largest that is sent is a part of that. */
const MESSAGE_BYTES = 16 * 1024 ** 2;
/** The largest answer that a client takes: whoever answers may be a cell that somebody else has. */
const ANSWER_BYTES = 4 * MESSAGE_BYTES;
/** Calls stay on the platform's own network: packing costs more than it saves, and nothing unpacks to more than was sent. */
const NO_COMPRESSION: { acceptCompression: [] } = { acceptCompression: [] };
/** Calls that one connection may have open. */
const STREAMS_PER_CONNECTION = 1_000;

/** How long a call that is answered before its end may go on, unread, so that the answer is read. */
const UNREAD_MS = 2_000;

/** Ends a call's stream after its answer, whatever it still sends; the connection serves on. */
function endUnread({ stream }: Http2ServerResponse): void {
  stream.once('finish', () => {
    if (stream.readableEnded) return;
    const cut = setTimeout(() => stream.close(), UNREAD_MS);
    stream.once('close', () => clearTimeout(cut));
  });
}

/** Answers a call without reading what it sends. */
function refuse(request: Http2ServerRequest, response: Http2ServerResponse, name: string): void {
  const message = `${name || 'an unnamed peer'} may not call this`;
  endUnread(response);
  if (/^application\/grpc/.test(request.headers['content-type'] ?? '')) {
    const status = { 'grpc-status': String(Code.PermissionDenied), 'grpc-message': message };
    response.writeHead(200, { 'content-type': 'application/grpc', ...status }).end();
  } else {
    response.writeHead(403, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ code: 'permission_denied', message }));
  }
}

/** Calls inside one process, over the same typed contract. */
export function inMemoryTransport(routes: Routes): Transport {
  return createRouterTransport(routes);
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
  const transport = createGrpcTransport({
    ...NO_COMPRESSION,
    readMaxBytes: ANSWER_BYTES,
    baseUrl,
    nodeOptions,
    sessionManager,
    defaultTimeoutMs: timeoutMs,
  });
  return { cert, ca, sessionManager, transport };
}

/** HTTP/2's own 64 KiB would be a round trip each. */
export const STREAM_WINDOW_BYTES = 1024 ** 2;

/** Calls of one connection whose windows may be full at once. */
const CALLS_AHEAD = 4;

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
    transport: createGrpcTransport({
      ...NO_COMPRESSION,
      readMaxBytes: ANSWER_BYTES,
      baseUrl,
      nodeOptions,
      sessionManager,
    }),
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
  /** What a client may send ahead on one call, and a part of what on all of one connection; for calls that carry much. */
  streamWindowBytes?: number;
  log: Logger;
}): Promise<RpcServer> {
  const messages = new MessageAccount(options.routes);
  const handler = connectNodeAdapter({
    routes: options.routes,
    interceptors: [authorizePeers(options.peers)],
    readMaxBytes: MESSAGE_BYTES,
    ...NO_COMPRESSION,
    fallback: (_request, response) => {
      if (response instanceof Http2ServerResponse) endUnread(response);
      response.writeHead(404);
      response.end();
    },
    contextValues: (request) => {
      const { name, dnsNames } = peerOf(request);
      return createContextValues().set(peerName, name).set(peerDnsNames, dnsNames);
    },
  });
  const server = createSecureServer(
    {
      ...tlsOptions(options.identity),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_MS,
      settings: {
        maxConcurrentStreams: STREAMS_PER_CONNECTION,
        ...(options.streamWindowBytes ? { initialWindowSize: options.streamWindowBytes } : {}),
      },
    },
    (request, response) => {
      // By the headers, before a byte of the message is read; the interceptor above asks the same of what was routed.
      const service = (request.url.split('?')[0] ?? '').split('/').at(1) ?? '';
      const { name, dnsNames } = peerOf(request);
      if (!mayCall(options.peers, name, service)) return refuse(request, response, name);
      messages.count(request, `${name} ${dnsNames.join()}`);
      endUnread(response);
      handler(request, response);
    },
  );
  followIdentity(options.identity, server);
  boundHandshakes(server, options.log);
  server.on('sessionError', () => {}); // the peer went away; its calls fail on their own
  const sessions = new Set<{ destroy(): void }>();
  server.on('session', (session) => {
    if (options.streamWindowBytes) session.setLocalWindowSize(CALLS_AHEAD * options.streamWindowBytes);
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
