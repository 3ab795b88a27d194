import type { FastifyReply, FastifyRequest } from 'fastify';
import { CupolaError, messageOf } from '../../kit/errors.ts';
import { createHttpApp } from '../../kit/http.ts';
import type { Logger } from '../../kit/log.ts';
import { UaaError } from '../errors.ts';
import { type Requirement, requirementOf } from '../permissions.ts';
import { Form } from './form.ts';

export type UaaApp = ReturnType<typeof createHttpApp>;

/** Lets a call through to its operation or throws UaaError. */
export type Gate = (requirement: Requirement, request: FastifyRequest) => Promise<void>;

/** The application without its operations: bodies, the gate of the permission table, and the one place where errors are rendered. */
export function createUaaApp(gate: Gate, log: Logger): UaaApp {
  const app = createHttpApp({ bodyLimitBytes: 262_144 });

  app.addHook('onRoute', (route) => {
    for (const method of [route.method].flat()) {
      if (!requirementOf(method, route.url)) {
        throw new CupolaError('operation_without_permission', `${method} ${route.url} is not in the permission table`);
      }
    }
  });
  app.addHook('onRequest', async (request) => {
    const path = request.routeOptions.url;
    if (path === undefined) return; // no such operation: 404
    const requirement = requirementOf(request.method, path);
    if (!requirement) throw new UaaError('access_denied', 'Access is denied.');
    if (request.url.includes('%00')) {
      throw new UaaError('invalid_request', 'The address holds a forbidden character.');
    }
    await gate(requirement, request);
  });
  app.addHook('onSend', async (_request, reply) => {
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store');
    reply.header('x-content-type-options', 'nosniff');
  });

  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, async (_request: FastifyRequest, body: string) =>
    parseJson(body),
  );
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    async (_request: FastifyRequest, body: string) => new Form(body),
  );

  app.setNotFoundHandler((request, reply) =>
    render(reply, new UaaError('not_found', `There is no such resource: ${request.method} ${pathOf(request)}`)),
  );
  app.setErrorHandler((error, request, reply) => {
    const shown = error instanceof UaaError ? error : fromFastify(error, pathOf(request));
    const fields = { method: request.method, operation: request.routeOptions.url, status: shown.status };
    if (shown.status >= 500) log.error('an operation failed', { ...fields, error });
    else if (shown.reason) log.info('a call was refused', { ...fields, refused: shown.kind, reason: shown.reason });
    return render(reply, shown);
  });
  return app;
}

/** The form of a token request. Throws `invalid_request` for another kind of body. */
export function formOf(request: FastifyRequest): Form {
  if (request.body instanceof Form) return request.body;
  if (request.body === undefined || request.body === null) return new Form('');
  throw new UaaError('invalid_request', 'The body must be application/x-www-form-urlencoded.');
}

export function queryOf(request: FastifyRequest): Form {
  return new Form(request.url.split('?').slice(1).join('?'));
}

/** Clients send `Content-Type: application/json` with deletions that have no body. */
function parseJson(body: string): unknown {
  if (body.trim() === '') return undefined;
  try {
    return JSON.parse(body, (name, value: unknown) => {
      if (name === '__proto__') throw new UaaError('invalid_request', 'The body holds a forbidden name.');
      if (typeof value === 'string' && value.includes('\0')) {
        throw new UaaError('invalid_request', 'The body holds a forbidden character.');
      }
      return value;
    });
  } catch (error) {
    if (error instanceof UaaError) throw error;
    throw new UaaError('invalid_request', 'The body is not valid JSON.');
  }
}

function fromFastify(error: unknown, path: string): UaaError {
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : 500;
  if (error instanceof Error && 'validation' in error && error.validation) {
    const scim = path.startsWith('/Users') || path.startsWith('/Groups');
    return new UaaError(scim ? 'invalid_scim_resource' : 'invalid_request', messageOf(error));
  }
  if (status === 413) return new UaaError('payload_too_large', 'The body is too large.');
  if (status === 415) return new UaaError('unsupported_media_type', 'The content type is not supported.');
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new UaaError('invalid_request', 'The request is malformed.');
  }
  return new UaaError('server_error', 'The server could not answer. Try again.', { cause: error });
}

function render(reply: FastifyReply, error: UaaError): FastifyReply {
  if (error.challenge) reply.header('www-authenticate', error.challenge);
  return reply.code(error.status).send(error.body);
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?')[0]!;
}
