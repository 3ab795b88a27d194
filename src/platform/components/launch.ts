import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { engineCommand } from '../../kit/engines.ts';
import { CupolaError } from '../../kit/errors.ts';
import { EXIT_SOFTWARE } from '../../kit/faults.ts';
import { closeOnExec } from '../../kit/posix-spawn.ts';
import { identify, PLAIN_ENVIRONMENT, type ProcessIdentity } from '../../kit/process.ts';
import type { Account } from '../account.ts';

export interface Launch {
  command: string;
  args: readonly string[];
  account: Account | null;
  /** May it use ports below 1024? */
  bindLowPorts?: boolean;
  /** It comes from the engines' image. */
  isEngine?: boolean;
  /** Descriptors it gets, numbered from FIRST_INHERITED on. */
  inherit?: readonly number[];
  /** Told on standard input, which is then closed. */
  input?: string;
  /** Until then it is told nothing; at once unless given. */
  toldAfter?: Promise<void>;
  logFile: string;
  /** It ended; not told of a process that a later supervisor adopted. */
  onExit?: () => void;
  /** It ended of an error that nobody caught. */
  onFault?: () => void;
  environment?: Readonly<Record<string, string>>;
}

/** What a process holds in memory, secrets among it, is left in no file when it dies. */
const NO_CORE = ['--core=0:0'];

/**
 * Starts a process that outlives the supervisor: own session, log file as output, no privilege and no descriptor but what is named.
 * Throws `component_failed`, `command_not_started`.
 */
export async function launch(options: Launch): Promise<ProcessIdentity> {
  const { account } = options;
  const log = openSync(options.logFile, 'a', 0o600);
  try {
    closeOnExec();
    const command = [options.command, ...options.args];
    const dropped = account ? ['setpriv', ...dropTo(account, options.bindLowPorts === true), ...command] : command;
    const [program, ...words] = options.isEngine
      ? engineCommand('prlimit', [...NO_CORE, ...dropped])
      : ['prlimit', ...NO_CORE, ...dropped];
    const child = spawn(program!, words, {
      cwd: '/',
      detached: true,
      stdio: ['pipe', log, log, ...(options.inherit ?? [])],
      env: { ...PLAIN_ENVIRONMENT, ...options.environment },
    });
    child.once('exit', (code) => {
      if (code === EXIT_SOFTWARE) options.onFault?.();
      options.onExit?.();
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.once('spawn', resolve);
    child.once('error', reject);
    await promise;
    child.stdin?.on('error', () => {}); // it ended before it read; the supervisor sees that it is gone
    const tell = () => child.stdin?.end(options.input ?? '');
    if (options.toldAfter) void options.toldAfter.then(tell);
    else tell();
    child.unref();
    const identity = child.pid === undefined ? null : identify(child.pid);
    if (!identity)
      throw new CupolaError('component_failed', `${options.command} ended at once; see ${options.logFile}`);
    return identity;
  } finally {
    closeSync(log);
  }
}

function dropTo(account: Account, bindLowPorts: boolean): string[] {
  const capabilities = bindLowPorts ? '-all,+net_bind_service' : '-all';
  return [
    `--reuid=${account.uid}`,
    `--regid=${account.gid}`,
    '--clear-groups',
    `--inh-caps=${capabilities}`,
    `--ambient-caps=${capabilities}`,
    `--bounding-set=${capabilities}`,
    '--no-new-privs',
  ];
}
