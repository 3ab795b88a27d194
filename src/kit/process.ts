import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { CupolaError } from './errors.ts';

export interface RunOptions {
  /** Text for standard input; without it standard input is empty. */
  input?: string | Buffer;
  cwd?: string;
  /** The whole environment; by default only PATH and the C.UTF-8 locale. */
  env?: Record<string, string>;
  timeoutMs?: number;
  uid?: number;
  gid?: number;
  /** Called with each piece of output as it comes. */
  onOutput?: (text: string) => void;
}

export const PLAIN_ENVIRONMENT: Record<string, string> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
};

/**
 * Runs a command without a shell and gives its standard output.
 * Throws `command_failed` with exit code and standard error, `command_timeout` past `timeoutMs` (default 60 s).
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? PLAIN_ENVIRONMENT,
    uid: options.uid,
    gid: options.gid,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const timeoutMs = options.timeoutMs ?? 60_000;
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill('SIGKILL');
  }, timeoutMs);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => {
    stdout.push(chunk);
    options.onOutput?.(chunk.toString());
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr.push(chunk);
    options.onOutput?.(chunk.toString());
  });
  child.stdin.on('error', () => {}); // the command may end without reading; its exit code tells
  child.on('error', (cause) => {
    clearTimeout(timer);
    reject(new CupolaError('command_failed', `${command} could not be started`, { cause }));
  });
  child.on('close', (exitCode, signal) => {
    clearTimeout(timer);
    const errors = Buffer.concat(stderr).toString();
    if (timedOut) {
      reject(new CupolaError('command_timeout', `${command} took longer than ${timeoutMs} ms`));
    } else if (exitCode === 0) {
      resolve(Buffer.concat(stdout).toString());
    } else {
      reject(
        new CupolaError(
          'command_failed',
          `${command} ended with ${exitCode ?? signal}: ${errors.trim().slice(-2000)}`,
          {
            fields: { exitCode, signal, stderr: errors },
          },
        ),
      );
    }
  });
  child.stdin.end(options.input ?? '');
  return promise;
}

/** A process by number and start time, so that a reused number is never mistaken for it. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks after boot, field 22 of /proc/PID/stat. */
  startTicks: string;
}

/** Null where no such process runs (a zombie does not run). */
export function identify(pid: number): ProcessIdentity | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return null;
    return { pid, startTicks: fields[19]! };
  } catch {
    return null;
  }
}

export function isAlive(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.startTicks === identity.startTicks;
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

/** Asks it to end, waits, and kills it when `graceMs` are over. */
export async function terminate(
  identity: ProcessIdentity,
  graceMs = 10_000,
  first: NodeJS.Signals = 'SIGTERM',
): Promise<void> {
  if (!signal(identity, first)) return;
  const deadline = Date.now() + graceMs;
  while (isAlive(identity)) {
    if (Date.now() > deadline) signal(identity, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
