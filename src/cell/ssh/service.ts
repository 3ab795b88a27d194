import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import {
  AttachedSchema,
  type CellSsh,
  type ExecInput,
  type ExecOutput,
  ExecOutputSchema,
  type ExecStart,
  type ForwardData,
  ForwardDataSchema,
} from '../../contracts/gen/ssh_pb.js';
import { onAbort } from '../../kit/abort.ts';
import { CupolaError, codeOf } from '../../kit/errors.ts';
import type { Container, ContainerSession, ContainerUser, SessionSpec } from '../garden/garden.ts';
import { LIFECYCLE_DESTINATION } from '../rep/container-files.ts';
import { interleave, send } from './streams.ts';

/** An instance that runs on this cell. */
export interface SshTarget {
  container: Container;
  /** The app's own. */
  environment: Readonly<Record<string, string>>;
  /** Aborts when the instance begins to end. */
  over: AbortSignal;
}

type Output = MessageInitShape<typeof ExecOutputSchema>['output'];

/** The CellSsh service of the contract. `find` gives null for an instance that is not here. */
export function sshService(find: (instanceGuid: string) => SshTarget | null): ServiceImpl<typeof CellSsh> {
  const target = (instanceGuid: string): SshTarget => {
    const found = find(instanceGuid);
    if (!found || found.over.aborted) throw new ConnectError('no such instance on this cell', Code.NotFound);
    return found;
  };
  return {
    async *attach({ instanceGuid }, context) {
      const { over } = target(instanceGuid);
      yield create(AttachedSchema);
      await new Promise<void>((resolve) => {
        onAbort(over, resolve);
        onAbort(context.signal, resolve);
      });
    },
    exec: (input, context) => exec(input, context, target),
    forward: (input, context) => forward(input, context, target),
  };
}

async function* exec(
  input: AsyncIterable<ExecInput>,
  context: HandlerContext,
  target: (instanceGuid: string) => SshTarget,
): AsyncGenerator<ExecOutput> {
  const messages = input[Symbol.asyncIterator]();
  const first = await messages.next();
  const start = first.done ? undefined : first.value.input;
  if (start?.case !== 'start') throw new ConnectError('a session begins with its start', Code.InvalidArgument);
  const { container, environment, over } = target(start.value.instanceGuid);
  const session = await container.open(specOf(start.value, container, environment)).catch((error: unknown) => {
    if (codeOf(error) !== 'too_many_sessions') throw error;
    throw new ConnectError('the instance has as many sessions as it may have', Code.ResourceExhausted);
  });
  const end = () => void session.end();
  onAbort(over, end);
  onAbort(context.signal, end);
  try {
    // Whoever is gone sends nothing any more.
    void feed(messages, session).catch(end);
    const output = (output: Output) => create(ExecOutputSchema, { output });
    for await (const { from, chunk } of interleave({ stdout: session.stdout, stderr: session.stderr })) {
      yield output({ case: from, value: chunk });
    }
    yield output({ case: 'exitCode', value: await session.exit });
  } finally {
    over.removeEventListener('abort', end);
    await session.end();
  }
}

function specOf(start: ExecStart, container: Container, environment: Readonly<Record<string, string>>): SessionSpec {
  const { what, terminal } = start;
  if (container.user) return imageSpec(start, container.user, environment);
  const mode = what.case ?? 'shell';
  return {
    args: [`${LIFECYCLE_DESTINATION}/session`, mode, ...(what.case === 'command' ? [what.value] : [])],
    environment: { ...environment, HOME: '/home/vcap', ...start.environment },
    workingDirectory: '/home/vcap',
    user: 'vcap',
    ...(terminal ? { terminal: { columns: terminal.columns, rows: terminal.rows } } : {}),
  };
}

/** In an image there is what the image has: its user, and its shell if it has one. */
function imageSpec(start: ExecStart, user: ContainerUser, environment: Readonly<Record<string, string>>): SessionSpec {
  const { what, terminal } = start;
  if (what.case === 'sftp') throw new ConnectError('there is no sftp in a container image', Code.Unimplemented);
  return {
    args: ['/bin/sh', ...(what.case === 'command' ? ['-c', what.value] : [])],
    environment: { ...environment, ...start.environment },
    workingDirectory: '/',
    user,
    ...(terminal ? { terminal: { columns: terminal.columns, rows: terminal.rows } } : {}),
  };
}

async function feed(messages: AsyncIterator<ExecInput>, session: ContainerSession): Promise<void> {
  for (let next = await messages.next(); !next.done; next = await messages.next()) {
    const { input } = next.value;
    if (input.case === 'stdin') await send(session.stdin, input.value);
    else if (input.case === 'stdinEnd') session.stdin.end();
    else if (input.case === 'resize') session.resize(input.value.columns, input.value.rows);
    else if (input.case === 'signal') session.signal(input.value);
  }
}

async function* forward(
  input: AsyncIterable<ForwardData>,
  context: HandlerContext,
  target: (instanceGuid: string) => SshTarget,
): AsyncGenerator<ForwardData> {
  const messages = input[Symbol.asyncIterator]();
  const first = await messages.next();
  const start = first.done ? undefined : first.value.data;
  if (start?.case !== 'start') throw new ConnectError('a connection begins with its start', Code.InvalidArgument);
  const { container, over } = target(start.value.instanceGuid);
  const socket = await container.dial(start.value.host, start.value.port).catch((error: unknown) => {
    if (error instanceof CupolaError) throw new ConnectError('the connection is refused', Code.Unavailable);
    throw error;
  });
  const end = () => void socket.destroy();
  onAbort(over, end);
  onAbort(context.signal, end);
  try {
    const fed = (async () => {
      for (let next = await messages.next(); !next.done; next = await messages.next()) {
        const { data } = next.value;
        if (data.case === 'bytes') await send(socket, data.value);
        else if (data.case === 'end') return void socket.end();
      }
      socket.destroy(); // the other side went away without an end
    })();
    fed.catch(end);
    const answer = (data: MessageInitShape<typeof ForwardDataSchema>['data']) => create(ForwardDataSchema, { data });
    yield answer({ case: 'connected', value: {} });
    for await (const { chunk } of interleave({ socket })) yield answer({ case: 'bytes', value: chunk });
    yield answer({ case: 'end', value: {} });
    if (!socket.destroyed) await Promise.race([fed, new Promise((resolve) => socket.once('close', resolve))]);
  } finally {
    over.removeEventListener('abort', end);
    if (socket.writableFinished) socket.destroy();
    else socket.destroySoon();
  }
}
