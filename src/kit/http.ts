import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { isIP } from 'node:net';
import { type TypeBoxTypeProvider, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { forOwner } from './database-shares.ts';
import { boundHandshakes, HANDSHAKE_MS } from './handshakes.ts';
import type { Logger } from './log.ts';
import { withRequestId } from './log.ts';
import { HttpRefusal, refusalOf } from './refusal.ts';
import { boundUnread } from './request-end.ts';
import { followIdentity, type Identity, peerOf, tlsOptions } from './tls.ts';

export type HttpApp = FastifyInstance<Server, IncomingMessage, ServerResponse>;

/** The one place where an API renders what went wrong: a refusal of the door, or what an operation threw. */
export type ErrorRenderer = (error: unknown, request: FastifyRequest, reply: FastifyReply) => unknown;

export interface HttpAppOptions {
  /** Every error comes here, also those of the framework: no other form of an error leaves. */
  renderError: ErrorRenderer;
}

/**
 * A Fastify application with the platform's bounds, in which nobody takes more than their share of a database; it listens
 * nowhere until `serveHosts` or `inject` uses it. It has no parser for any body: whoever takes one registers it with `takeBodies`.
 * Requests to no operation are refused before their body, and so are forbidden characters in an address.
 */
export function createHttpApp({ renderError }: HttpAppOptions) {
  const render: ErrorRenderer = (error, request, reply) => {
    const { retryAfter } = refusalOf(error) ?? { retryAfter: null };
    if (retryAfter !== null) reply.header('retry-after', retryAfter);
    return renderError(error, request, reply);
  };
  const app = Fastify({
    logger: false,
    bodyLimit: 1_048_576,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 500 },
    genReqId: (request) => requestIdOf(request),
    // Hooks do not run for these.
    frameworkErrors: (error, request, reply) => {
      boundUnread(request.raw, reply.raw);
      reply.header('X-Vcap-Request-Id', request.id);
      render(error, request, reply);
    },
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.setValidatorCompiler(TypeBoxValidatorCompiler);
  app.removeAllContentTypeParsers();
  app.setErrorHandler(render);
  app.setNotFoundHandler((request, reply) => render(unknownPath(), request, reply));
  app.addHook('onRequest', (request, reply, done) => {
    boundUnread(request.raw, reply.raw);
    reply.header('X-Vcap-Request-Id', request.id);
    withRequestId(request.id, () => forAddress(request.raw, done));
  });
  app.addHook('onRequest', async (request) => {
    if (request.url.includes('%00')) {
      throw new HttpRefusal('forbidden_character', 'the address holds a forbidden character');
    }
  });
  return app;
}

/** There is no such operation. */
export function unknownPath(): HttpRefusal {
  return new HttpRefusal('unknown_path', 'there is nothing at this address');
}

/**
 * Gives `take` every body as it comes, whatever its type; what `take` gives is the request's body. A compressed one is refused
 * unread: its size says nothing of what it becomes.
 */
export function takeBodies(
  app: Pick<HttpApp, 'addContentTypeParser'>,
  take: (request: FastifyRequest) => Promise<unknown>,
): void {
  app.addContentTypeParser('*', async (request: FastifyRequest) => {
    if ((request.headers['content-encoding'] ?? 'identity').trim().toLowerCase() !== 'identity') {
      throw new HttpRefusal('unsupported_type', 'a compressed request body is not supported');
    }
    return take(request);
  });
}

/** Without parameters and in small letters: "application/json". */
export function mediaTypeOf(request: Pick<IncomingMessage, 'headers'>): string {
  return (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
}

/** Who sent a request: what the router says, and an IPv6 network of 64 bits counts as one. */
export function clientAddress(request: IncomingMessage): string {
  const forwarded = request.headers['x-forwarded-for'];
  const last = String(forwarded ?? '')
    .split(',')
    .at(-1)!
    .trim();
  const address = last || (request.socket.remoteAddress ?? 'unknown');
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1];
  if (mapped) return mapped;
  if (isIP(address) !== 6) return address.slice(0, 50);
  const [head = '', tail] = address.toLowerCase().split('::');
  const before = head.split(':').filter(Boolean);
  const after = (tail ?? '').split(':').filter(Boolean);
  const zeros =
    tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0');
  return `${[...before, ...zeros, ...after].slice(0, 4).join(':')}::/64`;
}

/** Answers a request: what it asks of databases is its address's, until it is known whose it is (`nowFor`). */
export function forAddress<Result>(request: IncomingMessage, body: () => Result): Result {
  return forOwner(`address ${clientAddress(request)}`, false, body);
}

/** The router sets X-Vcap-Request-Id; calls that come another way get an id here. */
function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-vcap-request-id'];
  return typeof given === 'string' && /^[\w:-]{1,200}$/.test(given) ? given : randomUUID();
}

/** A request handler of node:http; a Fastify app's is `(await app.ready(), app.routing)`. */
export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void;

/** An application, and the common names of the peers that may reach it. */
export interface ServedHost {
  peers: readonly string[];
  handler: RequestHandler;
}

export interface HostsServer {
  server: Server;
  /** Takes no new connection, lets the requests under way end for so long, and then cuts what is left. */
  close(graceMs?: number): Promise<void>;
}

/**
 * One HTTPS listener for the platform's public hosts, behind the router. The Host header picks the application; only peers
 * whose certificate carries a common name of that very host get an answer (TLS-07, SECURITY-TESTS 22), others 403. A peer of
 * no host at all does not learn which hosts there are. What is no host is 404.
 */
export async function serveHosts(options: {
  host: string;
  port: number;
  identity: Identity;
  /** Host name without port → application. */
  hosts: ReadonlyMap<string, ServedHost>;
  log: Logger;
}): Promise<HostsServer> {
  const known = new Set([...options.hosts.values()].flatMap(({ peers }) => peers));
  const server = createServer(
    {
      ...tlsOptions(options.identity),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_MS,
      keepAliveTimeout: 75_000,
      requestTimeout: 0,
    },
    (request, response) => {
      boundUnread(request, response);
      const { name } = peerOf(request);
      const host = (request.headers.host ?? '').split(':')[0]!.toLowerCase();
      const served = options.hosts.get(host);
      if (!(served?.peers ?? [...known]).includes(name)) response.writeHead(403).end();
      else if (served) served.handler(request, response);
      else response.writeHead(404, { 'content-type': 'text/plain' }).end('404 Not Found\n');
    },
  );
  followIdentity(options.identity, server);
  boundHandshakes(server, options.log);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(options.port, options.host, resolve);
  await promise;
  return {
    server,
    close: async (graceMs = 5_000) => {
      const closed = new Promise<void>((done) => server.close(() => done()));
      const cut = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed;
      clearTimeout(cut);
    },
  };
}
