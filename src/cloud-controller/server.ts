import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { sendJson, sendText } from '../kit/answer.ts';
import { AnswerAccount, type AnswerEntry, forAnswer } from '../kit/answer-account.ts';
import { BodyReader, hasBody, TEXT_LIMITS, UPLOAD_LIMITS } from '../kit/body.ts';
import { forOwner } from '../kit/database-shares.ts';
import { createHttpApp, mediaTypeOf, type RequestHandler, takeBodies, unknownPath } from '../kit/http.ts';
import { HttpRefusal } from '../kit/refusal.ts';
import { Admission, callerKey } from './admission.ts';
import { AnswerCheck } from './answer-check.ts';
import { permit, requireFlag } from './asking.ts';
import { type Caller, mayDo } from './authorization.ts';
import type { Context } from './context.ts';
import { CfError, isFault, isForeignKeyViolation, publicError } from './errors.ts';
import { requireFeature } from './feature-flags/store.ts';
import { parseJson } from './json.ts';
import { type Accepts, type Answer, Call, carriesBody, type Operation } from './operation.ts';
import { type OperationId, PERMISSIONS } from './permissions.ts';
import { parseQuery, type Query } from './query.ts';
import { storageError } from './storage/ledger.ts';
import { NOTHING_NAMED, type Permitted, type Source } from './subject.ts';
import { bodyReader } from './validation.ts';

/** What an operation takes as which type. A body without a type is taken for JSON, and so is what curl calls a form. */
const MEDIA_TYPES: Readonly<Record<Accepts, RegExp>> = {
  json: /^(|application\/([\w.-]+\+)?json|application\/x-www-form-urlencoded)$/,
  yaml: /\byaml$/,
  multipart: /^multipart\/form-data$/,
};

/** Where the body is not read yet. */
const NOTHING_SENT = { body: null, stream: null, contentType: '', contentLength: null, texts: null };

/** What a client is told to wait where the API cannot answer now. */
const RETRY_AFTER_SECONDS = 5;

/** An operation with what the server asks it before and with the body. */
interface Entry {
  operation: Operation;
  readBody: (body: unknown) => unknown;
}

/** A request that was let in by its headers. */
interface Passage {
  operation: Operation;
  caller: Caller | null;
  params: Call['params'];
  query: Query;
  /** What the path and the query name. */
  permitted: Permitted;
  permittedAt: number;
  response: ServerResponse;
}

type Sent = Pick<Call, 'body' | 'stream' | 'contentType' | 'contentLength' | 'texts'>;

/** Whoever takes longer to send a body is asked about again. */
const PERMITTED_MS = 1_000;

/**
 * The API over HTTP. Every request takes the same way, and whatever ends it early leaves the rest unread: known path, token,
 * rate, scope, permission on what the path names, body, permission on what the body names, operation.
 */
export async function createServer(context: Context, operations: readonly Operation[]): Promise<RequestHandler> {
  const entries = new Map(operations.map((operation) => [operation.id as string, entryOf(operation)]));
  const passages = new WeakMap<FastifyRequest, Passage>();
  const admission = new Admission(context);
  const texts = new BodyReader(TEXT_LIMITS);
  const answers = new AnswerAccount();
  const uploads = new BodyReader(UPLOAD_LIMITS);
  const declared = context.settings.strict ? new AnswerCheck() : null;
  const app = createHttpApp({ renderError: (error, request, reply) => answerError(context, error, request, reply) });

  app.addHook('onRequest', async (request, reply) => {
    const entry = entries.get(`${request.method === 'HEAD' ? 'GET' : request.method} ${request.routeOptions.url}`);
    if (!entry) {
      admission.passUnknown(request.raw, reply);
      throw unknownPath();
    }
    const { operation } = entry;
    const caller = await admission.pass(operation.id, request.raw, reply);
    const params = request.params as Call['params'];
    const query = queryOf(request, operation);
    const named = { operation, caller, params, query };
    // It is kept while the body comes, however slowly: counted with what answers are made of, and nothing is changed yet that could
    // be left half done.
    const kept = answers.enter(reply.raw, callerKey(caller, request.raw));
    const permitted = await forAnswer(kept, () =>
      permittedOf(context, named, beforeBody(operation.sources), NOTHING_NAMED),
    );
    if (carriesBody(operation.id) && hasBody(request.raw)) {
      checkMediaType(operation.accepts, mediaTypeOf(request.raw));
      await admitContent(context, caller);
    }
    passages.set(request, { ...named, permitted, permittedAt: performance.now(), response: reply.raw });
  });

  const passageOf = (request: FastifyRequest): Passage => {
    const passage = passages.get(request);
    if (!passage) throw new Error('a request came past the door');
    return passage;
  };
  takeBodies(app, async (request) => {
    const { operation, caller, response } = passageOf(request);
    if (!readsBody(operation.id, caller)) return undefined;
    const reader = operation.accepts === 'multipart' ? uploads : texts;
    const how = operation.accepts === 'multipart' ? 'stream' : 'text';
    return reader[how](request.raw, response, callerKey(caller, request.raw), operation.bodyLimitBytes);
  });

  for (const { operation, readBody } of entries.values()) {
    const [method, url] = operation.id.split(' ') as [string, string];
    app.route({
      method,
      url,
      handler: async (request, reply) => {
        const json = operation.accepts === 'json';
        const passage = passageOf(request);
        const { response } = passage;
        const { caller } = passage;
        const stream = request.body instanceof Readable ? request.body : null;
        const sent = {
          body: json ? (readsBody(operation.id, caller) ? readBody(parseJson(request.body)) : {}) : request.body,
          stream,
          contentType: request.headers['content-type'] ?? '',
          contentLength: lengthOf(request.headers['content-length']),
          texts: stream && texts.entry(response, callerKey(caller, request.raw)),
        };
        const attempt = (again: boolean) => run(context, passage, sent, again);
        const key = callerKey(caller, request.raw);
        const entry = answers.enter(response, key, !operation.readsOnly);
        const { call, answer } = await forAnswer(entry, () =>
          forOwner(key, operation.long, () => settled(attempt, stream === null)),
        );
        checkAnswer(context, call, answer);
        declared?.check(operation, answer);
        if (answer.body instanceof Readable) {
          // Its status is sent by then: the client sees that the answer is cut.
          answer.body.once('error', (error) => {
            context.log.error('an answer broke off', { method, route: url, requestId: request.id, error });
          });
        }
        return send(reply, answer, call.warnings, entry);
      },
    });
  }
  await app.ready();
  return app.routing;
}

async function run(
  context: Context,
  passage: Passage,
  sent: Sent,
  again: boolean,
): Promise<{ call: Call; answer: Answer }> {
  const { operation, caller } = passage;
  const stale = again || performance.now() - passage.permittedAt > PERMITTED_MS;
  const { sources } = operation;
  const left = stale ? sources : bodySources(sources);
  const before = stale ? NOTHING_NAMED : passage.permitted;
  const permitted = await permittedOf(context, passage, left, before, sent.body);
  const call = callOf(context, { ...passage, permitted }, sent);
  if (caller) {
    await requireFlag(context.db, operation.id, caller);
    for (const flag of operation.needs(call)) await requireFeature(context.db, flag);
    for (const field of operation.sets(call)) call.requireField(field);
  }
  return { call, answer: await operation.run(call) };
}

async function permittedOf(
  { db }: Context,
  { operation, caller, params, query }: Pick<Passage, 'operation' | 'caller' | 'params' | 'query'>,
  sources: ReadonlyMap<string, Source>,
  before: Permitted,
  body: unknown = null,
): Promise<Permitted> {
  if (caller === null) return before;
  return permit({ id: operation.id, db, caller, params, query, body }, sources, before);
}

function beforeBody(sources: ReadonlyMap<string, Source>): ReadonlyMap<string, Source> {
  return new Map([...sources].filter(([, { from }]) => from !== 'body'));
}

function bodySources(sources: ReadonlyMap<string, Source>): ReadonlyMap<string, Source> {
  return new Map([...sources].filter(([, { from }]) => from === 'body'));
}

/**
 * What an operation found can be deleted, or come to be referred to, before it writes: the database refuses and takes back what it
 * wrote. Done once more it finds what is there by now, and says so in its own words. A body that was streamed is gone.
 */
async function settled<T>(attempt: (again: boolean) => Promise<T>, repeatable: boolean): Promise<T> {
  return attempt(false).catch((error: unknown) => {
    if (!repeatable || !isForeignKeyViolation(error)) throw error;
    return attempt(true);
  });
}

/**
 * While the disk has no more free than uploads leave, nobody but an administrator brings anything: PostgreSQL shares it. What has
 * no body (to stop, to delete) passes. Throws ServiceUnavailable.
 */
async function admitContent({ blobs }: Context, caller: Caller | null): Promise<void> {
  if (caller?.globalRoles.has('admin')) return;
  await blobs.checkFree().catch((error: unknown) => {
    throw storageError(error);
  });
}

function entryOf(operation: Operation): Entry {
  if (!Object.hasOwn(PERMISSIONS, operation.id)) throw new Error(`${operation.id} is not in the permission table`);
  return {
    operation,
    readBody: bodyReader(operation.body),
  };
}

/** Who may not do it learns whether its subject exists, and nothing of what is wrong with the body. */
function readsBody(id: OperationId, caller: Caller | null): boolean {
  return carriesBody(id) && (caller === null || mayDo(id, caller));
}

function lengthOf(header: string | undefined): number | null {
  return header === undefined || !/^\d{1,15}$/.test(header) ? null : Number(header);
}

function callOf(
  context: Context,
  { operation, caller, params, query, permitted }: Omit<Passage, 'response' | 'permittedAt'>,
  sent: Sent = NOTHING_SENT,
): Call {
  return new Call({ id: operation.id, context, caller, params, query, permitted, ...sent });
}

function queryOf(request: FastifyRequest, operation: Operation): Query {
  const query = operation.query ? (request.query as Record<string, unknown>) : {};
  return parseQuery(query, operation.query ?? {});
}

function listsNothing(body: unknown): boolean {
  if (typeof body !== 'object' || body === null || !('resources' in body)) return false;
  return Array.isArray(body.resources) && body.resources.length === 0;
}

/** An answer that may not leave leaves nothing open. */
function checkAnswer(context: Context, call: Call, answer: Answer): void {
  try {
    checkRead(context, call, answer);
  } catch (error) {
    if (answer.body instanceof Readable) answer.body.destroy();
    throw error;
  }
}

/** Nothing shown is nothing too much. */
function checkRead({ log, settings }: Context, { id, query }: Call, { body }: Answer): void {
  const { names } = query.unread;
  if (names.length === 0 || listsNothing(body)) return;
  if (settings.strict) throw new Error(`${id} ignored ${names.join(', ')}`);
  log.error('an operation ignored parameters that it declares', { id, names });
}

function checkMediaType(accepts: Accepts, type: string): void {
  if (MEDIA_TYPES[accepts].test(type)) return;
  if (accepts === 'yaml') throw new CfError('BadRequest', 'Content-Type must be yaml');
  const wanted = accepts === 'json' ? 'application/json' : 'multipart/form-data';
  throw new HttpRefusal('unsupported_type', `the content type must be ${wanted}`);
}

async function send(
  reply: FastifyReply,
  answer: Answer,
  warnings: readonly string[],
  entry: AnswerEntry,
): Promise<FastifyReply> {
  reply.code(answer.status).headers(answer.headers ?? {});
  if (warnings.length > 0) reply.header('X-Cf-Warnings', warnings.map(encodeURIComponent).join(','));
  if (answer.body instanceof Readable) return reply.send(answer.body);
  if (answer.text !== undefined) return sendText(reply, answer.text, entry);
  if (answer.body === undefined) return reply.send();
  return sendJson(reply, answer.body, entry);
}

function answerError(context: Context, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const shown = publicError(error);
  if (isFault(error)) {
    context.log.error('an operation failed', { method: request.method, route: request.routeOptions.url, error });
  }
  if (shown.status === 503 && !reply.hasHeader('retry-after')) reply.header('retry-after', RETRY_AFTER_SECONDS);
  reply
    .code(shown.status)
    .type('application/json; charset=utf-8')
    .send(JSON.stringify(isOfV2(request.url) ? ofV2(shown.body()) : { errors: [shown.body()] }));
}

/** Clients of the version before read its own form of an error, also that it is not here. */
function isOfV2(url: string): boolean {
  return /^\/v2(\/|$|\?)/.test(url);
}

function ofV2({ code, title, detail }: ReturnType<CfError['body']>): Record<string, unknown> {
  return { code, description: detail, error_code: title };
}
