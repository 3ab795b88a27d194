import { mkdirSync, rmSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { dirname } from 'node:path';
import Type, { type Static, type TSchema } from 'typebox';
import Value from 'typebox/value';
import { BodyReader } from '../kit/body.ts';
import { checked } from '../kit/checked.ts';
import { CupolaError, codeOf, messageOf } from '../kit/errors.ts';
import { readJson } from '../kit/json.ts';
import { giveSocket, withOwnSocket } from '../kit/owned-files.ts';
import { HttpRefusal } from '../kit/refusal.ts';
import { boundUnread } from '../kit/request-end.ts';
import { boundedText } from '../kit/streams.ts';

/** What is done with a message of one kind. */
export interface AdminOperation {
  /** What it gives is the answer, as JSON. Throws `invalid_message`, which names the field and repeats no value. */
  run(message: unknown): unknown;
}
/** By "POST /rotate". */
export type AdminOperations = Readonly<Record<string, AdminOperation>>;

/** Of an operation to which nothing is sent. */
export const NoBody = Type.Undefined();

/** An operation that is given what it was sent only where that is as declared. */
export function adminOperation<Body extends TSchema>(
  body: Body,
  run: (message: Static<Body>) => unknown,
): AdminOperation {
  return { run: (message) => run(checked(body, message, { code: INVALID_MESSAGE, what: 'the message' })) };
}

const INVALID_MESSAGE = 'invalid_message';
const INVALID_ANSWER = 'invalid_answer';
/** For what a process does with new certificates: one that does not answer by then is tried again later. */
export const RENEW_LIMIT_MS = 60_000;

/** Identities and roots are the largest that is sent. */
const BODY_BYTES = 1_048_576;
/** Routes that are refused, or all that `status` says, of a full platform. */
const ANSWER_BYTES = 16 * 1_048_576;
const ANSWER_MS = 120_000;
const BODY_LIMITS = { bodies: 16, bodiesPerCaller: 16, bytes: 8 * BODY_BYTES, bytesPerCaller: 8 * BODY_BYTES };

/**
 * A Unix socket on which the operator's commands (or the supervisor) reach a process. Only root and the process's own account
 * can connect: the socket is 0600. No secret is ever answered.
 */
export async function serveAdmin(path: string, operations: AdminOperations): Promise<Server> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true }); // of a process that was killed
  const bodies = new BodyReader(BODY_LIMITS, { textMs: 10_000 });
  const server = createServer((message, response) => {
    boundUnread(message, response);
    const name = `${message.method} ${message.url}`;
    const operation = Object.hasOwn(operations, name) ? operations[name] : undefined;
    const work = async (): Promise<unknown> =>
      operation?.run(readJson(await bodies.text(message, response, 'local', BODY_BYTES)));
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body ?? {}));
    };
    if (!operation) return answer(404, { code: 'unknown_operation', message: 'there is no such operation' });
    work().then(
      (result) => answer(200, result),
      (error: unknown) => {
        const code = error instanceof CupolaError ? error.code : 'failed';
        answer(statusOf(error), { code, message: messageOf(error) });
      },
    );
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(path, resolve);
  await promise;
  giveSocket(path, { mode: 0o600 });
  return server;
}

function statusOf(error: unknown): number {
  if (error instanceof HttpRefusal) return error.status;
  return error instanceof CupolaError && error.code === INVALID_MESSAGE ? 400 : 500;
}

/** What is asked, and how. */
export interface Question {
  body?: unknown;
  /** What the process is to answer; without it, anything. */
  answer?: TSchema;
  /** For all of the answer; two minutes unless told. */
  timeoutMs?: number;
}

/**
 * Asks a process on its socket, and no other that its account could lead to. Throws `not_running` where none is there, `no_answer` where
 * one does not answer in time, the code the process gave where it failed, and `invalid_answer` for what is not as declared.
 */
export function askAdmin<Answer extends TSchema>(
  path: string,
  operation: string,
  question: Question & { answer: Answer },
): Promise<Static<Answer>>;
export function askAdmin(path: string, operation: string, question?: Question): Promise<unknown>;
export async function askAdmin(path: string, operation: string, question: Question = {}): Promise<unknown> {
  let answer: unknown;
  try {
    answer = await withOwnSocket(path, (socketPath) => ask(socketPath, operation, question));
  } catch (cause) {
    throw codeOf(cause) === 'ENOENT' ? notRunning(cause) : cause;
  }
  const told = { code: INVALID_ANSWER, what: `the answer to ${operation}` };
  return question.answer ? checked(question.answer, answer, told) : answer;
}

function notRunning(cause: unknown): CupolaError {
  return new CupolaError('not_running', 'the platform does not run', { cause });
}

async function ask(socketPath: string, operation: string, { body, timeoutMs = ANSWER_MS }: Question): Promise<unknown> {
  const [method, url] = operation.split(' ');
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const call = request({ socketPath, method, path: url, agent: false }, (response) => {
    boundedText(response, { mostBytes: ANSWER_BYTES, timeoutMs })
      .then((answer) => {
        if (response.statusCode === 200) return resolve(jsonOf(answer, operation));
        const { code, message } = problemOf(answer);
        throw new CupolaError(code, message);
      })
      .catch(reject);
  });
  // Of the whole answer: who says a byte now and then would keep the asker for ever.
  const late = setTimeout(() => {
    const message = `no answer to ${operation} in ${timeoutMs / 1000} s`;
    reject(new CupolaError('no_answer', message, { fields: { operation } }));
    call.destroy();
  }, timeoutMs);
  call.on('error', (cause) => reject(notRunning(cause)));
  call.end(body === undefined ? '' : JSON.stringify(body));
  return promise.finally(() => clearTimeout(late));
}

function jsonOf(answer: string, operation: string): unknown {
  try {
    return JSON.parse(answer);
  } catch {
    throw new CupolaError(INVALID_ANSWER, `the answer to ${operation} is no JSON`);
  }
}

const Problem = Type.Object({ code: Type.Optional(Type.Unknown()), message: Type.Optional(Type.Unknown()) });

function problemOf(answer: string): { code: string; message: string } {
  try {
    const problem: unknown = JSON.parse(answer);
    const { code, message } = Value.Check(Problem, problem) ? problem : {};
    return { code: shown(code ?? 'failed'), message: shown(message ?? answer) };
  } catch {
    return { code: 'failed', message: shown(answer) };
  }
}

/** Words of a process that may be broken into, for a log. */
function shown(words: unknown): string {
  return String(words).slice(0, 1_000);
}
