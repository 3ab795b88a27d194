import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { type TypeBoxTypeProvider, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from './log.ts';
import { withRequestId } from './log.ts';
import { type Identity, tlsOptions } from './tls.ts';

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

/**
 * One HTTPS listener for the platform's public hosts, behind the router. Only peers whose certificate has one of
 * `allowedPeers` as common name get an answer (TLS-07); the Host header picks the application, anything else is 404.
 */
export async function serveHosts(options: {
  host: string;
  port: number;
  identity: Identity;
  allowedPeers: readonly string[];
  /** Host name without port → handler. */
  hosts: ReadonlyMap<string, RequestHandler>;
  log: Logger;
}): Promise<Server> {
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
      if (typeof peer !== 'string' || !options.allowedPeers.includes(peer)) {
        response.writeHead(403).end();
        return;
      }
      const host = (request.headers.host ?? '').split(':')[0]!.toLowerCase();
      const handler = options.hosts.get(host);
      if (handler) handler(request, response);
      else response.writeHead(404, { 'content-type': 'text/plain' }).end('404 Not Found\n');
    },
  );
  server.on('tlsClientError', (error) =>
    options.log.warn('a client failed the TLS handshake', { error: error.message }),
  );
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(options.port, options.host, resolve);
  await promise;
  return server;
}
