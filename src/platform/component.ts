import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { CupolaError } from '../kit/errors.ts';
import { identify, isAlive, PLAIN_ENVIRONMENT, type ProcessIdentity, signal } from '../kit/process.ts';
import type { Account } from './engines/postgresql.ts';

/** A process the supervisor keeps alive. */
export interface Component {
  name: string;
  account: Account | null;
  /** Starts it anew; what it needs is written first. */
  start(): Promise<ProcessIdentity>;
  /** The signal that ends it in order. */
  stopSignal: NodeJS.Signals;
}

export interface Launch {
  command: string;
  args: readonly string[];
  account: Account | null;
  /** May it use ports below 1024? */
  bindLowPorts?: boolean;
  /** Descriptors it gets, numbered from FIRST_INHERITED on. */
  inherit?: readonly number[];
  /** Told on standard input, which is then closed. */
  input?: string;
  logFile: string;
  /** It ended; not told of a process that a later supervisor adopted. */
  onExit?: () => void;
  environment?: Readonly<Record<string, string>>;
}

/**
 * Starts a process that outlives the supervisor: own session, log file as output, no privilege but what is named.
 * Throws `component_failed` when it could not be started.
 */
export async function launch(options: Launch): Promise<ProcessIdentity> {
  const { account } = options;
  const log = openSync(options.logFile, 'a', 0o600);
  try {
    const child = spawn(
      account ? 'setpriv' : options.command,
      account
        ? [...dropTo(account, options.bindLowPorts === true), options.command, ...options.args]
        : [...options.args],
      {
        cwd: '/',
        detached: true,
        stdio: ['pipe', log, log, ...(options.inherit ?? [])],
        env: { ...PLAIN_ENVIRONMENT, ...options.environment },
      },
    );
    if (options.onExit) child.once('exit', options.onExit);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.once('spawn', resolve);
    child.once('error', reject);
    await promise;
    child.stdin?.on('error', () => {}); // it ended before it read; the supervisor sees that it is gone
    child.stdin?.end(options.input ?? '');
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

/** One that ran for this long had started well: its death is an accident, and it is started again at once. */
const QUIET_MS = 5_000;
const SLOWEST_RESTART_MS = 5_000;

/** Keeps one component running: adopts it, starts it when it is gone, slower each time it dies soon (the part monit plays; HLT-03). */
export class Keeper {
  readonly component: Component;
  restarts = 0;
  #identity: ProcessIdentity | null;
  #startedAt = 0;
  #quickDeaths = 0;
  #notBefore = 0;
  #starting = false;

  constructor(component: Component, adopted: ProcessIdentity | null) {
    this.component = component;
    this.#identity = adopted && isAlive(adopted) ? adopted : null;
    this.#startedAt = this.#identity ? Date.now() : 0;
  }

  get identity(): ProcessIdentity | null {
    return this.#identity && isAlive(this.#identity) ? this.#identity : null;
  }

  get state(): 'running' | 'starting' | 'stopped' {
    if (this.#starting) return 'starting';
    return this.identity ? 'running' : 'stopped';
  }

  /** Starts the component if it is gone and it is time. True when a new process was started. */
  async tend(): Promise<boolean> {
    if (this.#starting || this.identity || Date.now() < this.#notBefore) return false;
    const again = this.#startedAt > 0;
    if (again) {
      this.#quickDeaths = Date.now() - this.#startedAt < QUIET_MS ? this.#quickDeaths + 1 : 0;
      this.restarts += 1;
    }
    this.#starting = true;
    try {
      this.#startedAt = Date.now();
      this.#notBefore = Date.now() + Math.min(SLOWEST_RESTART_MS, 100 * 2 ** this.#quickDeaths);
      this.#identity = await this.component.start();
      return true;
    } finally {
      this.#starting = false;
    }
  }

  stop(): void {
    if (this.#identity) signal(this.#identity, this.component.stopSignal);
  }
}
