import { createHash } from 'node:crypto';
import type { FastifyReply } from 'fastify';
import { sendJson } from '../kit/answer.ts';
import { AnswerAccount } from '../kit/answer-account.ts';
import { messageOf } from '../kit/errors.ts';
import { clientAddress, createHttpApp, type RequestHandler, unknownPath } from '../kit/http.ts';
import type { Logger } from '../kit/log.ts';
import { type RateLimit, RateLimiter } from '../kit/rate.ts';
import { HttpRefusal, refusalOf } from '../kit/refusal.ts';
import type { ReadAccess } from './access.ts';
import type { Followers } from './followers.ts';
import type { LogCache } from './log-cache.ts';
import { BadReadRequest, followedTo, type Query, rangeOf } from './read-request.ts';
import { bytesOf } from './source-log.ts';
import { errorBody, metaInfo, readResponse } from './view.ts';

/** The API version clients look at; from 2.0.0 on they use /api/v1. */
const VERSION = '3.0.0';
const RETRY_AFTER_SECONDS = 5;
const GRPC_INVALID_ARGUMENT = 3;
const GRPC_NOT_FOUND = 5;
const GRPC_UNIMPLEMENTED = 12;
const GRPC_RESOURCE_EXHAUSTED = 8;
const GRPC_UNAVAILABLE = 14;
/** Of one address; `cf logs` asks four times a second. */
const REQUEST_RATE: RateLimit = { limit: 60_000, intervalMs: 60_000 };
/** Of one user or client, wherever they come from: each looks at every source there is. */
const META_RATE: RateLimit = { limit: 120, intervalMs: 60_000 };

/**
 * The log-cache API: info, read, meta. Whoever may not read a source is told what one is told of a source that does not
 * exist: 404. PromQL (`query`, `query_range`) is not served and says so.
 */
export function logCacheApi(options: { cache: LogCache; followers: Followers; access: ReadAccess; log: Logger }): {
  handler: RequestHandler;
  close(): Promise<void>;
} {
  const { cache, followers, access, log } = options;
  const notFound = (reply: FastifyReply): FastifyReply => reply.code(404).send(errorBody(GRPC_NOT_FOUND, 'not found'));
  const app = createHttpApp({
    renderError: (error, _request, reply) => {
      if (error instanceof BadReadRequest) {
        return reply.code(400).send(errorBody(GRPC_INVALID_ARGUMENT, error.message));
      }
      const refusal = refusalOf(error);
      if (refusal?.status === 404) return notFound(reply);
      if (refusal) return reply.code(refusal.status).send(errorBody(codeOf(refusal), refusal.message));
      log.error('a log cache request failed', { error: messageOf(error) });
      return reply
        .header('retry-after', RETRY_AFTER_SECONDS)
        .code(503)
        .send(errorBody(GRPC_UNAVAILABLE, 'the log cache cannot answer now'));
    },
  });
  const limiter = new RateLimiter(REQUEST_RATE);
  const metaLimiter = new RateLimiter(META_RATE);
  // No operation takes a body, so none is read.
  app.addHook('onRequest', async (request) => {
    refuseBeyond(limiter, clientAddress(request.raw), 'too many requests from this address; try again later');
    if (request.routeOptions.url === undefined) throw unknownPath();
  });
  const answers = new AnswerAccount();
  const startedAt = performance.now();

  app.get('/api/v1/info', async () => ({
    version: VERSION,
    vm_uptime: String(Math.floor((performance.now() - startedAt) / 1_000)),
  }));

  app.get<{ Params: { '*': string }; Querystring: Query }>('/api/v1/read/*', async (request, reply) => {
    const sourceId = request.params['*'];
    const bearer = await access.bearerOf(request.headers.authorization);
    if (bearer === null) return notFound(reply);
    const entry = answers.enter(reply.raw, bearer.name);
    if (sourceId === '' || !(await access.mayRead(bearer, sourceId))) return notFound(reply);
    const range = rangeOf(request.query);
    const position = followedTo(request.query, range);
    if (position !== null) followers.note(sourceId, readerOf(bearer.token, clientAddress(request.raw)), position);
    const found = cache.read(sourceId, range);
    entry.read(found.reduce((sum, one) => sum + bytesOf(one), 0));
    return sendJson(reply, readResponse(sourceId, found), entry);
  });

  app.get('/api/v1/meta', async (request, reply) => {
    const bearer = await access.bearerOf(request.headers.authorization);
    if (bearer === null) return notFound(reply);
    refuseBeyond(metaLimiter, bearer.name, 'too many requests; try again later');
    const entry = answers.enter(reply.raw, bearer.name);
    const sources = [...cache.meta()];
    const readable = await access.readable(
      bearer,
      sources.map(([sourceId]) => sourceId),
    );
    const shown = sources.filter(([sourceId]) => readable.has(sourceId));
    const meta = Object.fromEntries(shown.map(([sourceId, info]) => [sourceId, metaInfo(info)]));
    return sendJson(reply, { meta }, entry);
  });

  for (const path of ['/api/v1/query', '/api/v1/query_range']) {
    app.get(path, async (_, reply) =>
      reply.code(501).send(errorBody(GRPC_UNIMPLEMENTED, 'PromQL queries are not served by this log cache')),
    );
  }

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

function refuseBeyond(limiter: RateLimiter, caller: string, message: string): void {
  const { allowed, waitMs } = limiter.take(caller);
  if (allowed) return;
  throw new HttpRefusal('too_many_requests', message, { retryAfter: Math.max(1, Math.ceil(waitMs / 1_000)) });
}

/** The token itself is not kept. */
function readerOf(token: string, address: string): string {
  return createHash('sha256').update(`${address} ${token}`).digest('base64');
}

function codeOf({ kind }: HttpRefusal): number {
  if (kind === 'overloaded') return GRPC_UNAVAILABLE;
  return kind === 'too_many_requests' || kind === 'too_many_bodies' || kind === 'too_many_answers'
    ? GRPC_RESOURCE_EXHAUSTED
    : GRPC_INVALID_ARGUMENT;
}
