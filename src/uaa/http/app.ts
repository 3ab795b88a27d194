import type { FastifyReply, FastifyRequest } from 'fastify';
import { BodyReader, hasBody, TEXT_LIMITS } from '../../kit/body.ts';
import { isTransient } from '../../kit/database.ts';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import { clientAddress, createHttpApp, mediaTypeOf, takeBodies, unknownPath } from '../../kit/http.ts';
import { JsonRefusedError, readJson } from '../../kit/json.ts';
import type { Logger } from '../../kit/log.ts';
import { type RateLimit, RateLimiter } from '../../kit/rate.ts';
import { HttpRefusal, type RefusalKind, refusalOf } from '../../kit/refusal.ts';
import { UaaError, type UaaErrorKind } from '../errors.ts';
import { methodsOf, type Requirement, requirementOf } from '../permissions.ts';
import { Form } from './form.ts';

export type UaaApp = ReturnType<typeof createHttpApp>;

/** Lets a call through to its operation or throws UaaError. */
export type Gate = (requirement: Requirement, request: FastifyRequest) => Promise<void>;

/** Of JSON from a caller who has shown a token; of a form, which anybody may send, and which holds a few values and a token. */
const JSON_BYTES = 262_144;
const FORM_BYTES = 32_768;
const FORM = 'application/x-www-form-urlencoded';
const JSON_TYPE = 'application/json';

/**
 * The application without its operations. Every request takes the same way, and whatever ends it early leaves the rest unread:
 * known path, rate of its address, the gate of the permission table, body. Errors are rendered here alone.
 */
export function createUaaApp(gate: Gate, log: Logger, rate: RateLimit | null = null): UaaApp {
  const app = createHttpApp({ renderError: (error, request, reply) => renderError(log, error, request, reply) });
  const bodies = new BodyReader(TEXT_LIMITS);
  const limiter = rate && new RateLimiter(rate);
  const responses = new WeakMap<FastifyRequest, FastifyReply['raw']>();

  app.addHook('onRoute', (route) => {
    for (const method of [route.method].flat()) {
      if (!requirementOf(method, route.url)) {
        throw new CupolaError('operation_without_permission', `${method} ${route.url} is not in the permission table`);
      }
    }
  });
  app.addHook('onRequest', async (request, reply) => {
    const allowance = limiter?.take(clientAddress(request.raw));
    if (allowance && !allowance.allowed) {
      throw new HttpRefusal('too_many_requests', 'Too many requests from this address. Try again later.', {
        retryAfter: Math.max(1, Math.ceil(allowance.waitMs / 1_000)),
      });
    }
    const path = request.routeOptions.url;
    if (path === undefined) throw noSuchOperation(request, reply);
    const requirement = requirementOf(request.method, path);
    if (!requirement) throw new UaaError('access_denied', 'Access is denied.');
    await gate(requirement, request);
    const type = mediaTypeOf(request.raw);
    if (takesBody(request) && hasBody(request.raw) && type !== FORM && type !== JSON_TYPE) {
      throw new HttpRefusal('unsupported_type', 'The content type is not supported.');
    }
    responses.set(request, reply.raw);
  });
  app.addHook('onSend', async (_request, reply) => {
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
    reply.header('x-content-type-options', 'nosniff');
  });
  takeBodies(app, async (request) => {
    const response = responses.get(request);
    if (!response) throw new Error('a request came past the gate');
    if (!takesBody(request)) return undefined;
    const limitBytes = takesLittle(request) ? FORM_BYTES : JSON_BYTES;
    const text = await bodies.text(request.raw, response, clientAddress(request.raw), limitBytes);
    return mediaTypeOf(request.raw) === FORM ? new Form(text) : parseJson(text);
  });
  return app;
}

/** 405 where the address is known by itself, without parameters. */
function noSuchOperation(request: FastifyRequest, reply: FastifyReply): Error {
  const methods = methodsOf(pathOf(request));
  if (methods.length === 0) return unknownPath();
  reply.header('allow', methods.join(', '));
  return new UaaError('method_not_allowed', `Request method '${request.method}' not supported`);
}

/** Forms, and whatever comes to an operation that proves its sender from the body. */
function takesLittle(request: FastifyRequest): boolean {
  const rule = requirementOf(request.method, request.routeOptions.url ?? '')?.rule;
  return mediaTypeOf(request.raw) === FORM || rule === undefined || rule === 'anyone' || rule === 'client';
}

function takesBody({ method }: FastifyRequest): boolean {
  return method === 'POST' || method === 'PUT' || method === 'PATCH';
}

/**
 * The parameters of a token request: those of the body, and of the query these alone, since an address is kept in logs and histories.
 * Throws `invalid_request` for another kind of body, `query_string_not_allowed` for anything else in the query.
 */
export function formOf(request: FastifyRequest, inQuery: readonly string[] = []): Form {
  const query = queryOf(request);
  if (query.names().some((name) => !inQuery.includes(name))) {
    throw new UaaError('query_string_not_allowed', 'Parameters must be passed in the body of the request');
  }
  if (request.body instanceof Form) return request.body.over(query);
  if (request.body === undefined || request.body === null) return query;
  throw new UaaError('invalid_request', 'The body must be application/x-www-form-urlencoded.');
}

export function queryOf(request: FastifyRequest): Form {
  return new Form(request.url.split('?').slice(1).join('?'));
}

/** Clients send `Content-Type: application/json` with no body. */
function parseJson(body: string): unknown {
  try {
    return readJson(body);
  } catch (error) {
    if (!(error instanceof JsonRefusedError)) throw error;
    const what = error.fault.startsWith('forbidden') ? `holds a ${error.fault}` : 'is not valid JSON';
    throw new UaaError('invalid_request', `The body ${what}.`, { cause: error });
  }
}

/** How UAA names what is refused before an operation runs. */
const REFUSALS: Readonly<Record<RefusalKind, [UaaErrorKind, string]>> = {
  malformed_address: ['invalid_request', 'The address is malformed.'],
  forbidden_character: ['invalid_request', 'The address holds a forbidden character.'],
  unknown_path: ['not_found', 'There is no such resource'],
  malformed_request: ['invalid_request', 'The request is malformed.'],
  body_too_slow: ['request_timeout', 'The body did not come in time.'],
  body_too_large: ['payload_too_large', 'The body is too large.'],
  unsupported_type: ['unsupported_media_type', 'The content type is not supported.'],
  too_many_bodies: ['too_many_requests', 'Too many requests at the same time. Try again later.'],
  answer_too_large: ['invalid_request', 'The answer would be too large. Ask for less.'],
  too_many_answers: ['too_many_requests', 'Too many answers wait to be read. Read some of them first.'],
  too_many_requests: ['too_many_requests', 'Too many requests from this address. Try again later.'],
  overloaded: ['temporarily_unavailable', 'Too many requests at the moment. Try again later.'],
};

function shownError(error: unknown, request: FastifyRequest): UaaError {
  if (error instanceof UaaError) return error;
  const path = pathOf(request);
  if (error instanceof Error && 'validation' in error && error.validation) {
    const scim = path.startsWith('/Users') || path.startsWith('/Groups');
    return new UaaError(scim ? 'invalid_scim_resource' : 'invalid_request', messageOf(error));
  }
  const refusal = refusalOf(error);
  if (!refusal) {
    const kind = isTransient(error) ? 'temporarily_unavailable' : 'server_error';
    return new UaaError(kind, 'The server could not answer. Try again.', { cause: error });
  }
  const [kind, sentence] = REFUSALS[refusal.kind];
  return new UaaError(kind, kind === 'not_found' ? `${sentence}: ${request.method} ${path}` : sentence, {
    cause: error,
  });
}

function renderError(log: Logger, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const shown = shownError(error, request);
  const fields = { method: request.method, operation: request.routeOptions.url, status: shown.status };
  if (shown.status >= 500 && !(error instanceof UaaError) && !refusalOf(error)) {
    log.error('an operation failed', { ...fields, error });
  } else if (shown.reason) log.info('a call was refused', { ...fields, refused: shown.kind, reason: shown.reason });
  return render(reply, shown);
}

function render(reply: FastifyReply, error: UaaError): FastifyReply {
  if (error.retryAfter !== null && !reply.hasHeader('retry-after')) reply.header('retry-after', error.retryAfter);
  if (error.challenge) reply.header('www-authenticate', error.challenge);
  return reply.code(error.status).send(error.body);
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?')[0]!;
}
