import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { classOf } from './engine-words.ts';
import { CupolaError, codeOf } from './errors.ts';
import { livesHere } from './namespaces.ts';
import { type Program, startProgram } from './posix-spawn.ts';
import { withShownAddresses } from './secrets.ts';

export interface RunOptions {
  /** Text for standard input; without it standard input is empty. */
  input?: string | Buffer;
  cwd?: string;
  /** The whole environment; by default only PATH and the C.UTF-8 locale. */
  env?: Record<string, string>;
  timeoutMs?: number;
  /** Of what it writes, to either output; 64 MiB unless told. It may pass on the words of an engine that was broken into. */
  mostBytes?: number;
  /** Who runs it, in place of root. */
  account?: { uid: number; gid: number };
  /** A file that holds the mount namespace it runs in, in place of this process's. */
  within?: string;
  /** Called with each piece of output as it comes. */
  onOutput?: (text: string) => void;
  /**
   * Errors repeat what it wrote, addresses without their secrets: for what an operator has done, of which no tenant and no
   * secret is a part. Unless told, errors name the kind alone (SECURITY 28).
   */
  showWords?: boolean;
}

const MOST_OUTPUT_BYTES = 64 * 1_048_576;

export const PLAIN_ENVIRONMENT: Record<string, string> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
};

/**
 * Runs a command without a shell and gives its standard output.
 * Throws `command_failed` with the exit code and the kind of what it complained of (`showWords`), `command_timeout` past
 * `timeoutMs` (default 60 s), `command_too_long` where it writes more than `mostBytes`; it is killed then.
 */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { timeoutMs = 60_000, mostBytes = MOST_OUTPUT_BYTES } = options;
  const program = start(command, args, options);
  let broken: CupolaError | undefined;
  const stop = (error: CupolaError): void => {
    broken ??= error;
    program.kill();
  };
  const tooSlow = new CupolaError('command_timeout', `${command} took longer than ${timeoutMs} ms`);
  const timer = setTimeout(() => stop(tooSlow), timeoutMs);
  const take = (output: Readable): Buffer[] => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    output.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > mostBytes)
        return stop(new CupolaError('command_too_long', `${command} wrote more than ${mostBytes} bytes`));
      chunks.push(chunk);
      options.onOutput?.(chunk.toString());
    });
    return chunks;
  };
  const stdout = take(program.stdout);
  const stderr = take(program.stderr);
  program.stdin.on('error', () => {}); // the command may end without reading; its exit code tells
  program.stdin.end(options.input ?? '');
  const { exitCode, signal } = await program.ended.finally(() => clearTimeout(timer));
  if (broken) throw broken;
  if (exitCode === 0) return Buffer.concat(stdout).toString();
  const words = Buffer.concat(stderr).toString();
  const said = options.showWords ? withShownAddresses(words.trim().slice(-2000)) : classOf(words);
  const message = `${command} ended with ${exitCode ?? signal}: ${said}`;
  throw new CupolaError('command_failed', message, { fields: { exitCode, signal } });
}

function start(
  command: string,
  args: readonly string[],
  { env = PLAIN_ENVIRONMENT, cwd, account, within }: RunOptions,
): Program {
  const as = account ? ['setpriv', `--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups', '--'] : [];
  const entering =
    within === undefined ? [] : ['nsenter', `--mount=${within}`, ...(cwd === undefined ? [] : [`--wdns=${cwd}`]), '--'];
  const [program = command, ...words] = [...entering, ...as, command, ...args];
  try {
    return startProgram(program, words, { env, cwd });
  } catch (cause) {
    throw new CupolaError('command_failed', `${command} could not be started`, { cause });
  }
}

/** A process by number and start time, so that a reused number is never mistaken for it. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks after boot, field 22 of /proc/PID/stat. */
  startTicks: string;
}

/** Null where no such process runs (a zombie does not run). Throws where that cannot be seen, as without a free descriptor. */
export function identify(pid: number): ProcessIdentity | null {
  const stat = readIfThere(`/proc/${pid}/stat`);
  if (stat === '') return null;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return null;
  return { pid, startTicks: fields[19]! };
}

/** Whether the very process runs still. Throws as `identify`. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.startTicks === identity.startTicks;
}

/**
 * What runs with one of these as real, effective, saved or file-system user, on this machine and not in a container of somebody's,
 * where the number may be another's. One that ended and waits for its parent to hear of it runs no more.
 */
export function processesAs(uids: ReadonlySet<number>): ProcessIdentity[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = /^\d+$/.test(name) ? Number(name) : 0;
    const identity = usersOf(pid).some((uid) => uids.has(uid)) && livesHere(pid, uids) ? identify(pid) : null;
    return identity ?? [];
  });
}

/** What runs under this account and has this among its arguments, the oldest first. */
export function processesWith(uid: number, argument: string): ProcessIdentity[] {
  return processesAs(new Set([uid]))
    .filter(({ pid }) => usersOf(pid)[1] === uid && commandOf(pid).includes(argument))
    .sort((one, other) => Number(one.startTicks) - Number(other.startTicks));
}

/** The arguments of a process; none where it ended. */
export function commandOf(pid: number): string[] {
  return readIfThere(`/proc/${pid}/cmdline`).split('\0');
}

/** Whether the very process has this file open, as far as that can be seen. */
export function holdsOpen(identity: ProcessIdentity, { dev, ino }: Pick<Stats, 'dev' | 'ino'>): boolean {
  const descriptors = `/proc/${identity.pid}/fd`;
  const isIt = (name: string): boolean => {
    const open = statSync(`${descriptors}/${name}`, { throwIfNoEntry: false });
    return open?.dev === dev && open.ino === ino;
  };
  try {
    return readdirSync(descriptors).some(isIt) && isAlive(identity);
  } catch (error) {
    if (!['ENOENT', 'ESRCH', 'EACCES'].includes(codeOf(error) ?? '')) throw error;
    return false; // it ended, or is none of ours
  }
}

/** The real, effective, saved and file-system user. */
function usersOf(pid: number): number[] {
  if (pid === 0) return [];
  const line = /^Uid:\s+(.*)$/m.exec(readIfThere(`/proc/${pid}/status`))?.[1];
  return line?.split(/\s+/).map(Number) ?? [];
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (!['ENOENT', 'ESRCH'].includes(codeOf(error) ?? '')) throw error;
    return ''; // it ended
  }
}

const TICKS_A_SECOND = 100;

/** Milliseconds since it was started. */
export function ageMs({ startTicks }: ProcessIdentity): number {
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  return (uptime - Number(startTicks) / TICKS_A_SECOND) * 1000;
}

/** Are both the very same process, and not two that had one number after the other? */
export function isSame(one: ProcessIdentity, other: ProcessIdentity): boolean {
  return one.pid === other.pid && one.startTicks === other.startTicks;
}

/** Sends the signal if the very process still runs. True when it was sent. */
export function signal(identity: ProcessIdentity, name: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    return process.kill(identity.pid, name);
  } catch {
    return false;
  }
}

/** A killed process ends, unless the kernel does not let it: on a disk or a share that does not answer. */
const MOST_DYING_MS = 30_000;

/**
 * Asks it to end, waits, and kills it when `graceMs` are over. Throws `process_stuck` where it does not end of that within
 * `dyingMs`.
 */
export async function terminate(
  identity: ProcessIdentity,
  graceMs = 10_000,
  first: NodeJS.Signals = 'SIGTERM',
  dyingMs = MOST_DYING_MS,
): Promise<void> {
  if (!signal(identity, first)) return;
  const began = performance.now();
  while (isAlive(identity)) {
    const waited = performance.now() - began;
    if (waited > graceMs + dyingMs) {
      throw new CupolaError(
        'process_stuck',
        `process ${identity.pid} was killed ${dyingMs / 1000} s ago and does not end`,
      );
    }
    if (waited > graceMs) signal(identity, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
