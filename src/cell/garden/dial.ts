import { isIPv4, Socket } from 'node:net';
import { CupolaError } from '../../kit/errors.ts';
import type { ProcessIdentity } from '../../kit/process.ts';
import { boundedText } from '../../kit/streams.ts';
import { networkOf, socketIn } from './kernel.ts';
import type { Runtime } from './runtime.ts';

const CONNECT_MS = 10_000;
/** Of an answer the first word is read; the program that gives it is the container's own. */
const MOST_ANSWER_BYTES = 65_536;

/** A connection that begins inside of the container's network. Throws `connection_refused`. */
export async function dial(options: {
  runtime: Runtime;
  containerId: string;
  init: ProcessIdentity;
  host: string;
  port: number;
}): Promise<Socket> {
  const { init, port } = options;
  const address = await addressOf(options);
  using network = networkOf(init);
  if (!network) throw refused('the container is gone');
  const socket = new Socket({ fd: socketIn(network), allowHalfOpen: true });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => socket.destroy(new Error('no answer')), CONNECT_MS);
  socket.once('error', reject);
  socket.once('close', () => reject(new Error('closed')));
  socket.connect({ host: address, port }, resolve);
  try {
    await promise;
  } catch (cause) {
    socket.destroy();
    throw refused(`${address}:${port} does not take the connection`, cause);
  } finally {
    clearTimeout(timer);
  }
  socket.setNoDelay(true);
  return socket;
}

/** As a process in the container would find it: its hosts file, its name server. */
async function addressOf(options: { runtime: Runtime; containerId: string; host: string }): Promise<string> {
  const { host } = options;
  if (isIPv4(host)) return host;
  if (host === 'localhost') return '127.0.0.1'; // so says the container's hosts file, which is ours
  if (!/^[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?\.?$/.test(host)) throw refused('no such host');
  const program = options.runtime.execPiped(options.containerId, ['getent', 'ahostsv4', host]);
  program.stdin.on('error', () => {});
  program.stdin.end();
  program.stderr.destroy(); // nobody reads it, and a full pipe would keep it from its end
  const bounds = { mostBytes: MOST_ANSWER_BYTES, timeoutMs: CONNECT_MS };
  const answer = await boundedText(program.stdout, bounds).catch((cause: unknown) => {
    program.kill();
    throw refused('no such host', cause);
  });
  const address = answer.split(/\s/)[0] ?? '';
  if (!isIPv4(address)) throw refused('no such host');
  return address;
}

function refused(reason: string, cause?: unknown): CupolaError {
  return new CupolaError('connection_refused', reason, { cause });
}
