import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { CupolaError } from '../kit/errors.ts';
import { identify, isAlive, PLAIN_ENVIRONMENT, type ProcessIdentity, terminate } from '../kit/process.ts';
import type { Account } from './engines/postgresql.ts';
import type { RecordedProcess } from './processes.ts';

/** A process the supervisor keeps alive. */
export interface Component {
  name: string;
  account: Account | null;
  /** Starts it anew; what it needs is written first. */
  start(): Promise<ProcessIdentity>;
  /** The signal that ends it in order. */
  stopSignal: NodeJS.Signals;
  /** Digest of what it is started from: program, arguments, configuration; no secret and no certificate. */
  fingerprint(): string;
  /** Brings a running process to what it would be started from now without a gap. Without it: an end and a start. */
  takeOver?(running: ProcessIdentity): Promise<ProcessIdentity>;
  /**
   * Gives a running process new certificates and the roots that are trusted now, and gives the process that has them: the same,
   * or one that took over. Throws where it did not take them.
   */
  renew?(running: ProcessIdentity): Promise<ProcessIdentity>;
  /** It keeps connections to these, and must be replaced after them, or those end in the middle of a request. */
  after?: readonly string[];
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
  /** Processes that were replaced and finish what they have. */
  readonly leaving: ProcessIdentity[] = [];
  restarts = 0;
  #identity: ProcessIdentity | null;
  #startedAt = 0;
  #quickDeaths = 0;
  #notBefore = 0;
  #starting = false;
  #fingerprint: string | undefined;

  constructor(component: Component, adopted: RecordedProcess | null) {
    this.component = component;
    this.#identity = adopted && isAlive(adopted) ? adopted : null;
    this.#startedAt = this.#identity ? Date.now() : 0;
    this.#fingerprint = adopted?.fingerprint;
  }

  get identity(): ProcessIdentity | null {
    return this.#identity && isAlive(this.#identity) ? this.#identity : null;
  }

  get state(): 'running' | 'starting' | 'stopped' {
    if (this.#starting) return 'starting';
    return this.identity ? 'running' : 'stopped';
  }

  /** It runs, and is not what it would be started as now. */
  get outdated(): boolean {
    return this.identity !== null && this.#fingerprint !== this.component.fingerprint();
  }

  /** What to write down of it. */
  get note(): RecordedProcess | null {
    const { identity } = this;
    return identity && { ...identity, ...(this.#fingerprint === undefined ? {} : { fingerprint: this.#fingerprint }) };
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
      this.#fingerprint = this.component.fingerprint();
      this.#identity = await this.component.start();
      return true;
    } finally {
      this.#starting = false;
    }
  }

  /** Puts a process as of now in the place of the one that runs. When that fails, the old one goes on or is started anew. */
  async replace(graceMs: number): Promise<void> {
    await this.#idle();
    const { identity, component } = this;
    if (!identity) return;
    this.#starting = true;
    try {
      const fingerprint = component.fingerprint();
      if (component.takeOver) {
        this.#succeed(identity, await component.takeOver(identity));
      } else {
        await terminate(identity, graceMs, component.stopSignal);
        this.#identity = null;
        this.#identity = await component.start();
      }
      this.#startedAt = Date.now();
      this.#fingerprint = fingerprint;
    } finally {
      this.#starting = false;
    }
  }

  /** New certificates for what runs; true where it takes any and runs. Throws what kept it from taking them. */
  async renew(): Promise<boolean> {
    await this.#idle();
    const { identity, component } = this;
    if (!component.renew || !identity) return false;
    this.#starting = true;
    try {
      this.#succeed(identity, await component.renew(identity));
      return true;
    } finally {
      this.#starting = false;
    }
  }

  /** Resolves when nothing else starts or replaces it. */
  async #idle(): Promise<void> {
    while (this.#starting) await pause(20);
  }

  #succeed(former: ProcessIdentity, next: ProcessIdentity): void {
    if (next.pid !== former.pid) this.leaving.push(former);
    this.#identity = next;
  }

  /** The leaving that are still there. */
  stillLeaving(): readonly ProcessIdentity[] {
    for (const [index, identity] of [...this.leaving.entries()].toReversed()) {
      if (!isAlive(identity)) this.leaving.splice(index, 1);
    }
    return this.leaving;
  }
}
