import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { CupolaError, messageOf } from '../kit/errors.ts';

/** "POST /rotate" → what is done with the body; what it gives is the answer, as JSON. */
export type AdminOperations = Readonly<Record<string, (body: unknown) => unknown>>;

/**
 * A Unix socket on which the operator's commands (or the supervisor) reach a process. Only root and the process's own account
 * can connect: the socket is 0600. No secret is ever answered.
 */
export async function serveAdmin(path: string, operations: AdminOperations): Promise<Server> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true }); // of a process that was killed
  const server = createServer((message, response) => {
    const operation = operations[`${message.method} ${message.url}`];
    const work = async (): Promise<unknown> => {
      const body = await text(message);
      return operation?.(body === '' ? undefined : JSON.parse(body));
    };
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body ?? {}));
    };
    if (!operation) return answer(404, { code: 'unknown_operation', message: 'there is no such operation' });
    work().then(
      (result) => answer(200, result),
      (error: unknown) => {
        const code = error instanceof CupolaError ? error.code : 'failed';
        answer(500, { code, message: messageOf(error) });
      },
    );
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(path, resolve);
  await promise;
  chmodSync(path, 0o600);
  return server;
}

/** Asks a process on its socket. Throws `not_running` where none answers, and the code the process gave where it failed. */
export async function askAdmin<Answer>(
  path: string,
  operation: string,
  body?: unknown,
  timeoutMs = 120_000,
): Promise<Answer> {
  const [method, url] = operation.split(' ');
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const call = request({ socketPath: path, method, path: url, timeout: timeoutMs, agent: false }, (response) => {
    text(response).then((answer) => {
      if (response.statusCode === 200) return resolve(JSON.parse(answer) as Answer);
      const { code, message } = problemOf(answer);
      reject(new CupolaError(code, message));
    }, reject);
  });
  call.on('timeout', () => call.destroy(new Error(`no answer in ${timeoutMs} ms`)));
  call.on('error', (cause) => reject(new CupolaError('not_running', 'the platform does not run', { cause })));
  call.end(body === undefined ? '' : JSON.stringify(body));
  return promise;
}

function problemOf(answer: string): { code: string; message: string } {
  try {
    const { code, message } = JSON.parse(answer) as { code?: unknown; message?: unknown };
    return { code: String(code ?? 'failed'), message: String(message ?? answer) };
  } catch {
    return { code: 'failed', message: answer };
  }
}
