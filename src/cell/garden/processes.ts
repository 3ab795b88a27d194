import { type FSWatcher, watch } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import Type, { type Static } from 'typebox';
import { codeOf } from '../../kit/errors.ts';
import { identify, isAlive, type ProcessIdentity, signal } from '../../kit/process.ts';
import { together } from '../../kit/together.ts';
import type { ContainerProcess, ProcessSpec } from './garden.ts';
import { processSpec } from './oci-spec.ts';
import { Identity, readJson, writeJson } from './records.ts';
import { processFiles, type Runtime } from './runtime.ts';

const ExitResult = Type.Object({ exitCode: Type.Integer(), outOfMemory: Type.Boolean() });
export type ExitResult = Static<typeof ExitResult>;

/** As StartedProcess, with what is known of the process besides. */
const ProcessRecord = Type.Object({
  id: Type.String(),
  process: Type.Union([Identity, Type.Null()]),
  conmon: Type.Union([Identity, Type.Null()]),
  /** Kills of the container's cgroup for the memory limit when it started. */
  outOfMemoryKills: Type.Number(),
});
type ProcessRecord = Static<typeof ProcessRecord>;

/** Exit code where nobody was left to see the real one, as after SIGKILL. */
const KILLED = 137;
const SWEEP_MS = 1000;

/** A process below conmon: known from its files, so that a later cell process finds it again. */
export class WatchedProcess implements ContainerProcess {
  readonly id: string;
  readonly logPath: string;
  readonly exit: Promise<ExitResult>;
  readonly #directory: string;
  readonly #record: ProcessRecord;
  readonly #countKills: () => Promise<number>;
  readonly #settle: (result: ExitResult) => void;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #done = false;

  constructor(directory: string, record: ProcessRecord, countKills: () => Promise<number>) {
    this.id = record.id;
    this.#directory = directory;
    this.#record = record;
    this.#countKills = countKills;
    this.logPath = processFiles(directory).log;
    const { promise, resolve } = Promise.withResolvers<ExitResult>();
    this.exit = promise;
    this.#settle = resolve;
    void this.#watch();
  }

  async signal(name: 'SIGTERM' | 'SIGKILL' | 'SIGINT'): Promise<void> {
    if (this.#record.process && !this.#done) signal(this.#record.process, name);
  }

  /** Looks for the exit code until the deadline, then takes it as killed. For the end of a container. */
  async finish(deadlineMs: number): Promise<void> {
    const deadline = Date.now() + deadlineMs;
    while (!this.#done && Date.now() < deadline) {
      await this.#lookOrLater();
      if (!this.#done) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    this.#end({ exitCode: KILLED, outOfMemory: false });
  }

  /** Stops watching; a later garden goes on. */
  close(): void {
    this.#watcher?.close();
    clearInterval(this.#timer);
  }

  async #watch(): Promise<void> {
    const result = await readJson(join(this.#directory, 'result.json'), ExitResult);
    if (result) return this.#end(result);
    try {
      this.#watcher = watch(processFiles(this.#directory).exitDirectory, () => void this.#lookOrLater());
      this.#watcher.on('error', () => {});
    } catch {
      // the sweep below finds it
    }
    this.#timer = setInterval(() => void this.#lookOrLater(), SWEEP_MS).unref();
    await this.#lookOrLater();
  }

  /** What cannot be seen now, for want of descriptors for instance, is no end: a later look tells. */
  async #lookOrLater(): Promise<void> {
    await this.#look().catch(() => {});
  }

  async #look(): Promise<void> {
    if (this.#done) return;
    // Asked first: what it writes, it has written before it ends, in another file that takes the name at once.
    const couldWrite = lives(this.#record.conmon);
    const code = await readExitCode(processFiles(this.#directory).exitDirectory);
    if (code !== null) return this.#conclude(code);
    if (couldWrite || this.#done) return;
    // Without conmon nobody will write the code, and the output goes nowhere.
    if (lives(this.#record.process)) await this.signal('SIGKILL');
    await this.#conclude(KILLED);
  }

  async #conclude(exitCode: number): Promise<void> {
    const outOfMemory = exitCode !== 0 && (await this.#countKills()) > this.#record.outOfMemoryKills;
    if (this.#done) return;
    await writeJson(join(this.#directory, 'result.json'), { exitCode, outOfMemory }).catch(() => {});
    this.#end({ exitCode, outOfMemory });
  }

  #end(result: ExitResult): void {
    if (this.#done) return;
    this.#done = true;
    this.close();
    this.#settle(result);
  }
}

/** Starts a process in the container. Throws `container_runtime_failed`. */
export async function startProcess(options: {
  runtime: Runtime;
  containerId: string;
  directory: string;
  spec: ProcessSpec;
  countKills: () => Promise<number>;
}): Promise<WatchedProcess> {
  const { directory, spec, countKills } = options;
  const files = processFiles(directory);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(files.spec, JSON.stringify(processSpec(spec)), { mode: 0o600 });
  try {
    const [outOfMemoryKills, started] = await together([
      countKills(),
      options.runtime.exec(options.containerId, spec.id, directory),
    ]);
    const record: ProcessRecord = { id: spec.id, outOfMemoryKills, ...started };
    await writeJson(join(directory, 'record.json'), record);
    return new WatchedProcess(directory, record, countKills);
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  } finally {
    await rm(files.spec, { force: true }); // it holds the app's environment
  }
}

/** The process of a directory that an earlier cell process made; null where that was cut off before it started one. */
export async function adoptProcess(
  directory: string,
  countKills: () => Promise<number>,
): Promise<WatchedProcess | null> {
  const files = processFiles(directory);
  await rm(files.spec, { force: true });
  const [record, process, conmon] = await Promise.all([
    readJson(join(directory, 'record.json'), ProcessRecord),
    readIdentity(files.pid),
    readIdentity(files.conmonPid),
  ]);
  if (record) return new WatchedProcess(directory, record, countKills);
  if (!process || !conmon) return null;
  return new WatchedProcess(directory, { id: basename(directory), outOfMemoryKills: 0, process, conmon }, countKills);
}

async function readIdentity(pidFile: string): Promise<ProcessIdentity | null> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => '0'));
  return pid > 0 ? identify(pid) : null;
}

async function readExitCode(directory: string): Promise<number | null> {
  for (const name of await readdir(directory).catch(whereGone([]))) {
    const text = await readFile(join(directory, name), 'utf8').catch(whereGone(''));
    if (/^-?\d+\s*$/.test(text)) return Number(text);
  }
  return null;
}

/** What is not there is answered with `instead`; what cannot be read is no answer. */
function whereGone<T>(instead: T): (error: unknown) => T {
  return (error) => {
    if (codeOf(error) === 'ENOENT') return instead;
    throw error;
  };
}

function lives(identity: ProcessIdentity | null): boolean {
  return identity !== null && isAlive(identity);
}
