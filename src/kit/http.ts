import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { type TypeBoxTypeProvider, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from './log.ts';
import { withRequestId } from './log.ts';
import { followIdentity, type Identity, tlsOptions } from './tls.ts';

export type HttpApp = FastifyInstance<Server, IncomingMessage, ServerResponse>;

/** A Fastify application with the platform's limits; it listens nowhere until `serveHosts` or `inject` uses it. */
export function createHttpApp(options: { bodyLimitBytes?: number } = {}) {
  const app = Fastify({
    logger: false,
    bodyLimit: options.bodyLimitBytes ?? 1_048_576,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 500 },
    genReqId: (request) => requestIdOf(request),
  }).withTypeProvider<TypeBoxTypeProvider>();
  app.setValidatorCompiler(TypeBoxValidatorCompiler);
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('X-Vcap-Request-Id', request.id);
    withRequestId(request.id, done);
  });
  return app;
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
      keepAliveTimeout: 75_000,
      requestTimeout: 0,
    },
    (request, response) => {
      const peer = (request.socket as TLSSocket).getPeerCertificate().subject?.CN;
      const host = (request.headers.host ?? '').split(':')[0]!.toLowerCase();
      const served = options.hosts.get(host);
      if (typeof peer !== 'string' || !(served?.peers ?? [...known]).includes(peer)) response.writeHead(403).end();
      else if (served) served.handler(request, response);
      else response.writeHead(404, { 'content-type': 'text/plain' }).end('404 Not Found\n');
    },
  );
  followIdentity(options.identity, server);
  server.on('tlsClientError', (error) =>
    options.log.warn('a client failed the TLS handshake', { error: error.message }),
  );
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
