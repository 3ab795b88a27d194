import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { createHttpApp, type RequestHandler } from '../kit/http.ts';
import { authenticate, type Caller, checkScope } from './authorization.ts';
import type { Context } from './context.ts';
import { badQuery, CfError, notAuthorized, publicError } from './errors.ts';
import { parseJson } from './json.ts';
import { type Answer, Call, type Operation } from './operation.ts';
import { type OperationId, PERMISSIONS, permissionOf } from './permissions.ts';
import { parseQuery } from './query.ts';
import { rememberUser } from './users/store.ts';
import { bodyReader } from './validation.ts';

/** The API over HTTP: authentication, body, query, the operation, and the one place where errors get their shape. */
export async function createServer(context: Context, operations: readonly Operation[]): Promise<RequestHandler> {
  const app = createHttpApp();
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, text, done) => done(null, text));
  app.addContentTypeParser(['application/x-yaml', 'text/yaml'], { parseAs: 'string' }, (_request, text, done) =>
    done(null, text),
  );
  app.addContentTypeParser('multipart/form-data', (_request, payload, done) => done(null, payload));
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, text, done) => done(null, text));
  app.setErrorHandler((error, request, reply) => answerError(context, error, request, reply));
  app.setNotFoundHandler((_request, reply) => render(reply, new CfError('NotFound', 'Unknown request')));
  for (const operation of operations) {
    if (!Object.hasOwn(PERMISSIONS, operation.id)) throw new Error(`${operation.id} is not in the permission table`);
    const [method, url] = operation.id.split(' ') as [string, string];
    const handle = handler(context, operation);
    app.route({ method, url, bodyLimit: operation.bodyLimitBytes, exposeHeadRoute: false, handler: handle });
  }
  await app.ready();
  return app.routing;
}

function handler(context: Context, operation: Operation) {
  const readBody = bodyReader(operation.body);
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const caller = await admit(context, operation.id, request);
    const json = operation.accepts === 'json';
    const hasBody = request.method !== 'GET' && request.method !== 'DELETE';
    const call = new Call({
      id: operation.id,
      context,
      caller,
      params: request.params as Call['params'],
      body: json ? (hasBody ? readBody(parseJson(request.body)) : {}) : request.body,
      query: parseQuery(operation.query ? (request.query as Record<string, unknown>) : {}, operation.query ?? {}),
      stream: request.body instanceof Readable ? request.body : null,
      contentType: request.headers['content-type'] ?? '',
    });
    const answer = await operation.run(call);
    if (!call.authorized) throw new Error(`${operation.id} answered without asking the permission table`);
    return send(reply, answer, call.warnings);
  };
}

/** Authentication, scope, and what the table says before anything is looked up. */
async function admit(context: Context, id: OperationId, request: FastifyRequest): Promise<Caller | null> {
  const permission = permissionOf(id);
  if (permission.scope === 'public') return null;
  const caller = await authenticate(request.headers.authorization, context.tokens, context.users);
  checkScope(caller, request.method);
  if (
    permission.scope === 'platform' &&
    !permission.may.some((role) => (caller.globalRoles as ReadonlySet<string>).has(role))
  ) {
    throw notAuthorized();
  }
  if (caller.userGuid !== null) await rememberUser(context.db, caller.userGuid);
  return caller;
}

function send(reply: FastifyReply, answer: Answer, warnings: readonly string[]): FastifyReply {
  reply.code(answer.status).headers(answer.headers ?? {});
  if (warnings.length > 0) reply.header('X-Cf-Warnings', warnings.map(encodeURIComponent).join(','));
  if (answer.body instanceof Readable) return reply.send(answer.body);
  if (answer.body === undefined) return reply.send();
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(answer.body));
}

function answerError(context: Context, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const shown = publicError(fromFastify(error));
  if (shown.title === 'UnknownError') {
    context.log.error('an operation failed', { method: request.method, route: request.routeOptions.url, error });
  }
  render(reply, shown);
}

function render(reply: FastifyReply, error: CfError): void {
  reply
    .code(error.status)
    .type('application/json; charset=utf-8')
    .send(JSON.stringify({ errors: [error.body()] }));
}

/** What the HTTP layer refuses by itself. */
function fromFastify(error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new CfError('InvalidRequest', 'The request body is too large', { status: 413, cause: error });
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new CfError('MessageParseError', 'Request invalid due to parse error: invalid request body', {
        cause: error,
      });
    case 'FST_ERR_BAD_URL':
      return badQuery('the path is malformed');
    default:
      return error;
  }
}
