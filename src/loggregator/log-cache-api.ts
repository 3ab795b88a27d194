import type { FastifyReply } from 'fastify';
import { messageOf } from '../kit/errors.ts';
import { createHttpApp, type RequestHandler } from '../kit/http.ts';
import type { Logger } from '../kit/log.ts';
import type { ReadAccess } from './access.ts';
import type { LogCache } from './log-cache.ts';
import { BadReadRequest, type Query, rangeOf } from './read-request.ts';
import { errorBody, metaInfo, readResponse } from './view.ts';

/** The API version clients look at; from 2.0.0 on they use /api/v1. */
const VERSION = '3.0.0';
const ACCESS_CHECKS_AT_ONCE = 16;
const GRPC_INVALID_ARGUMENT = 3;
const GRPC_NOT_FOUND = 5;
const GRPC_UNIMPLEMENTED = 12;
const GRPC_UNAVAILABLE = 14;

/**
 * The log-cache API: info, read, meta. Whoever may not read a source is told what one is told of a source that does not
 * exist: 404. PromQL (`query`, `query_range`) is not served and says so.
 */
export function logCacheApi(options: { cache: LogCache; access: ReadAccess; log: Logger }): {
  handler: RequestHandler;
  close(): Promise<void>;
} {
  const { cache, access, log } = options;
  const app = createHttpApp();
  const startedAt = performance.now();
  const notFound = (reply: FastifyReply): FastifyReply => reply.code(404).send(errorBody(GRPC_NOT_FOUND, 'not found'));

  app.get('/api/v1/info', async () => ({
    version: VERSION,
    vm_uptime: String(Math.floor((performance.now() - startedAt) / 1_000)),
  }));

  app.get<{ Params: { '*': string }; Querystring: Query }>('/api/v1/read/*', async (request, reply) => {
    const sourceId = request.params['*'];
    const token = await access.tokenOf(request.headers.authorization);
    if (token === null || sourceId === '' || !(await access.mayRead(token, sourceId))) return notFound(reply);
    return readResponse(sourceId, cache.read(sourceId, rangeOf(request.query)));
  });

  app.get('/api/v1/meta', async (request, reply) => {
    const token = await access.tokenOf(request.headers.authorization);
    if (token === null) return notFound(reply);
    const meta: Record<string, object> = {};
    const sources = cache.meta();
    const iterator = [...sources].values();
    const worker = async (): Promise<void> => {
      for (const [sourceId, info] of iterator) {
        if (await access.mayRead(token, sourceId)) meta[sourceId] = metaInfo(info);
      }
    };
    await Promise.all(Array.from({ length: ACCESS_CHECKS_AT_ONCE }, worker));
    return { meta };
  });

  for (const path of ['/api/v1/query', '/api/v1/query_range']) {
    app.get(path, async (_, reply) =>
      reply.code(501).send(errorBody(GRPC_UNIMPLEMENTED, 'PromQL queries are not served by this log cache')),
    );
  }

  app.setNotFoundHandler((_, reply) => notFound(reply));
  app.setErrorHandler((error, _, reply) => {
    if (error instanceof BadReadRequest) {
      return reply.code(400).send(errorBody(GRPC_INVALID_ARGUMENT, error.message));
    }
    log.error('a log cache request failed', { error: messageOf(error) });
    return reply.code(503).send(errorBody(GRPC_UNAVAILABLE, 'the log cache cannot answer now'));
  });

  const ready = app.ready();
  return {
    handler: (request, response) => {
      ready.then(
        () => app.routing(request, response),
        () => response.writeHead(503).end(),
      );
    },
    close: async () => app.close(),
  };
}
