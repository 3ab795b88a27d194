import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { ServerChannel, Session } from 'ssh2';
import { type ExecInput, ExecInputSchema, type ExecStartSchema } from '../contracts/gen/ssh_pb.js';
import { messageOf } from '../kit/errors.ts';
import { drainInto, Outbox, writeThrough } from './flow.ts';
import type { Reach } from './reach.ts';
import { breakOff } from './refusal.ts';

type Start = MessageInitShape<typeof ExecStartSchema>;
type What = Start['what'];
type Input = MessageInitShape<typeof ExecInputSchema>['input'];

const VARIABLES = 50;
const VARIABLE_BYTES = 8192;
/** Sizes and signals a client may have waiting; more are of no use to anybody. */
const PENDING = 100;
const INSTANCE_FULL = 'This instance has as many sessions as it may have. Try again when one has ended.';

/**
 * One session of a client: a shell, a command or sftp, run in the instance. X11, agents and other subsystems are refused.
 * `ended` is called once, when nothing of it is left.
 */
export function serveSession(session: Session, reach: Reach, ended: () => void): void {
  const outbox = new Outbox<ExecInput>();
  const environment: Record<string, string> = {};
  let terminal: Start['terminal'];
  let started = false;
  const tell = (input: Input): Promise<void> => outbox.put(create(ExecInputSchema, { input }));
  const tellSoon = (input: Input): void => {
    if (started && outbox.length < PENDING) void tell(input);
  };

  session.on('pty', (accept, _reject, { cols, rows, term }) => {
    terminal = { columns: cols, rows };
    if (/^[\w.+-]{1,64}$/.test(term)) environment['TERM'] = term;
    accept?.();
  });
  session.on('window-change', (accept, _reject, { cols, rows }) => {
    tellSoon({ case: 'resize', value: { columns: cols, rows } });
    accept?.();
  });
  session.on('env', (accept, reject, { key, val }) => {
    const fits = /^[A-Za-z_]\w{0,127}$/.test(key) && val.length <= VARIABLE_BYTES && !val.includes('\0');
    if (!fits || Object.keys(environment).length >= VARIABLES) return void reject?.();
    environment[key] = val;
    accept?.();
  });
  session.on('signal', (accept, _reject, { name }) => {
    tellSoon({ case: 'signal', value: name });
    accept?.();
  });
  session.once('close', () => {
    outbox.close();
    if (!started) ended();
  });

  const begin = (accept: () => ServerChannel, what: What): void => {
    started = true;
    const { instanceGuid } = reach;
    void tell({ case: 'start', value: { instanceGuid, what, environment, ...(terminal ? { terminal } : {}) } });
    void run(accept(), outbox, reach).finally(ended);
  };
  session.on('shell', (accept) => begin(accept, { case: 'shell', value: {} }));
  session.on('exec', (accept, reject, { command }) => {
    if (command.includes('\0')) reject?.();
    else begin(accept, { case: 'command', value: command });
  });
  session.on('subsystem', (accept, reject, { name }) => {
    if (name === 'sftp') begin(accept, { case: 'sftp', value: {} });
    else reject?.();
  });
}

/** Carries bytes between a channel and its process until either is gone. */
async function run(channel: ServerChannel, outbox: Outbox<ExecInput>, reach: Reach): Promise<void> {
  const closed = new AbortController();
  const gone = AbortSignal.any([closed.signal, reach.gone]);
  const tell = (input: Input): Promise<void> => outbox.put(create(ExecInputSchema, { input }));
  channel.once('close', () => closed.abort());
  channel.on('error', () => closed.abort());
  reach.watch(channel);
  drainInto(
    channel,
    (chunk) => tell({ case: 'stdin', value: chunk }),
    () => void tell({ case: 'stdinEnd', value: {} }),
  );
  try {
    for await (const { output } of reach.ssh.exec(outbox, { signal: gone })) {
      if (output.case === 'stdout') await writeThrough(channel, output.value, reach.socket, gone);
      else if (output.case === 'stderr') await writeThrough(channel.stderr, output.value, reach.socket, gone);
      else if (output.case === 'exitCode') {
        channel.exit(output.value);
        break; // the last message
      }
    }
  } catch (error) {
    if (!gone.aborted) {
      const full = error instanceof ConnectError && error.code === Code.ResourceExhausted;
      if (!full) reach.log.warn('a session broke off', { error: messageOf(error) });
      breakOff(channel, full ? INSTANCE_FULL : 'The session to the instance broke off.');
    }
  } finally {
    outbox.close();
    channel.end();
  }
}
