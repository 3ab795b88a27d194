import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { CupolaError } from '../../kit/errors.ts';
import { identify, isAlive, type ProcessIdentity } from '../../kit/process.ts';
import type { ContainerSession, SessionSpec } from './garden.ts';
import { processSpec } from './oci-spec.ts';
import { type ContainerParts, cgroupPath, runtimeId } from './parts.ts';
import { Terminal } from './terminal.ts';

/** Beginning of the names of sessions' groups and files. */
const PREFIX = 'session-';
const KILLED = 137;
const LOOK_MS = 50;
const RUNC_MS = 2000;
/** How long output may still come when the process itself has ended and something it started holds on. */
const LINGER_MS = 500;

/**
 * Starts a process whose input and output are the caller's. It is in a group of its own, below the container's, so that
 * everything it ever starts ends with it, whichever way it goes. Throws `container_runtime_failed`.
 */
export async function openSession(parts: ContainerParts, number: number, spec: SessionSpec): Promise<ContainerSession> {
  const session = new Session(parts, number);
  await session.start(spec);
  return session;
}

/** Ends what sessions of an earlier cell process left in a container. */
export async function endLeftSessions(parts: ContainerParts, number: number): Promise<void> {
  const group = cgroupPath(parts.prefix, number);
  for (const name of await parts.cgroups.children(group)) {
    if (name.startsWith(PREFIX)) await parts.cgroups.kill(`${group}/${name}`);
  }
  await rm(parts.paths.container(number).sessions, { recursive: true, force: true });
}

class Session implements ContainerSession {
  readonly exit: Promise<number>;
  readonly #parts: ContainerParts;
  readonly #number: number;
  readonly #name = `${PREFIX}${randomUUID()}`;
  readonly #exited = Promise.withResolvers<number>();
  #stdin: Writable = new PassThrough();
  #stdout: Readable = new PassThrough();
  #stderr: Readable = new PassThrough();
  #terminal: Terminal | null = null;
  #child: ChildProcess | null = null;
  #process: ProcessIdentity | null = null;
  #timer: NodeJS.Timeout | undefined;
  #endedAt: number | null = null;
  #ending: Promise<void> | null = null;

  constructor(parts: ContainerParts, number: number) {
    this.#parts = parts;
    this.#number = number;
    this.exit = this.#exited.promise;
  }

  get stdin(): Writable {
    return this.#stdin;
  }
  get stdout(): Readable {
    return this.#stdout;
  }
  get stderr(): Readable {
    return this.#stderr;
  }

  async start(spec: SessionSpec): Promise<void> {
    const { sessions } = this.#parts.paths.container(this.#number);
    await mkdir(sessions, { recursive: true, mode: 0o700 });
    const { terminal } = spec;
    // runc passes the size of its own terminal on once the process runs, and that may have asked already.
    const size = terminal ? { consoleSize: { height: terminal.rows, width: terminal.columns } } : {};
    const description = { ...processSpec(spec), terminal: terminal !== undefined, ...size };
    const group = await this.#parts.cgroups.createBelow(this.#containerGroup, this.#name);
    try {
      await writeFile(this.#file('json'), JSON.stringify(description), { mode: 0o600 });
      this.#terminal = spec.terminal ? new Terminal(spec.terminal) : null;
      const end = this.#terminal?.child;
      const child = this.#parts.runtime.execSession(runtimeId(this.#parts.prefix, this.#number), {
        spec: this.#file('json'),
        pidFile: this.#file('pid'),
        group,
        stdio: end === undefined ? ['pipe', 'pipe', 'pipe'] : [end, end, end],
      });
      await this.#connect(child);
    } catch (error) {
      await this.end();
      throw error;
    }
    // One that sees nothing just now (identify) is followed by another.
    this.#timer = setInterval(() => void this.#look().catch(() => {}), LOOK_MS);
  }

  resize(columns: number, rows: number): void {
    if (!this.#terminal || this.#child?.exitCode !== null) return;
    this.#terminal.resize({ columns, rows });
    this.#child.kill('SIGWINCH'); // runc passes the new size on
  }

  signal(name: string): void {
    const number = Object.entries(constants.signals).find(([known]) => known === `SIG${name}`)?.[1];
    if (number === undefined || !this.#process || !isAlive(this.#process)) return;
    try {
      process.kill(-this.#process.pid, number); // it leads a session and a process group of its own
    } catch {
      // it ended just now
    }
  }

  end(): Promise<void> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #connect(child: ChildProcess): Promise<void> {
    this.#child = child;
    const started = Promise.withResolvers<void>();
    child.once('spawn', started.resolve);
    child.once('error', (cause) =>
      started.reject(new CupolaError('container_runtime_failed', 'runc did not start', { cause })),
    );
    if (this.#terminal) {
      this.#stdin = this.#terminal.input;
      this.#stdout = this.#terminal.output;
      this.#stderr.push(null);
    } else if (child.stdin && child.stdout && child.stderr) {
      this.#stdin = child.stdin;
      this.#stdout = child.stdout;
      this.#stderr = child.stderr;
    }
    this.#stdin.on('error', () => {}); // it ended without reading; its exit code tells
    child.once('exit', (code) => {
      this.#exited.resolve(code ?? KILLED);
      this.#cleanUp().catch(() => {}); // its files go with the container's
    });
    await started.promise;
    this.#terminal?.release();
  }

  /** Learns the process's number, removes what holds its environment, and notices when only its children are left. */
  async #look(): Promise<void> {
    if (this.#endedAt === null) {
      if (!this.#process) {
        const pid = Number(await readFile(this.#file('pid'), 'utf8').catch(() => '0'));
        if (pid === 0) return;
        this.#process = identify(pid);
        await rm(this.#file('json'), { force: true });
      }
      // One that ended before it was seen has ended all the same.
      if (this.#process && isAlive(this.#process)) return;
      this.#endedAt = Date.now();
    }
    // What it said last still goes to whoever reads slowly.
    if (Date.now() - this.#endedAt > LINGER_MS) await this.#kill();
  }

  async #end(): Promise<void> {
    await this.#kill();
    for (const stream of [this.#stdin, this.#stdout, this.#stderr]) stream.destroy();
    if (this.#child && this.#child.exitCode === null && this.#child.signalCode === null) {
      // runc ends once its process has; it is not left to its own devices should it not.
      const timer = setTimeout(() => this.#child?.kill('SIGKILL'), RUNC_MS);
      await this.exit.finally(() => clearTimeout(timer));
      await this.#kill();
    }
    await this.#cleanUp();
  }

  async #cleanUp(): Promise<void> {
    clearInterval(this.#timer);
    try {
      await this.#kill();
      await rm(this.#file('json'), { force: true });
      await rm(this.#file('pid'), { force: true });
    } finally {
      this.#stdin.destroy();
      this.#terminal?.release();
      this.#exited.resolve(KILLED);
    }
  }

  #kill(): Promise<void> {
    return this.#parts.cgroups.kill(`${this.#containerGroup}/${this.#name}`);
  }

  get #containerGroup(): string {
    return cgroupPath(this.#parts.prefix, this.#number);
  }

  #file(kind: 'json' | 'pid'): string {
    return join(this.#parts.paths.container(this.#number).sessions, `${this.#name}.${kind}`);
  }
}
