import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import Type from 'typebox';
import { checkedJson } from '../../kit/checked.ts';
import { classOf } from '../../kit/engine-words.ts';
import { engineCommand, enginePath, runEngine } from '../../kit/engines.ts';
import { CupolaError } from '../../kit/errors.ts';
import { type Program, startProgram } from '../../kit/posix-spawn.ts';
import { identify, PLAIN_ENVIRONMENT, type ProcessIdentity } from '../../kit/process.ts';
import { sealedCopy } from './sealed-program.ts';

/** Files conmon keeps for one process, in a directory of its own. */
export function processFiles(directory: string) {
  return {
    log: join(directory, 'log'),
    spec: join(directory, 'process.json'),
    pid: join(directory, 'pid'),
    conmonPid: join(directory, 'conmon.pid'),
    /** conmon writes a file named after the container here, once. */
    exitDirectory: join(directory, 'exit'),
  };
}

export interface StartedProcess {
  /** Null where it ended before it could be looked at. */
  process: ProcessIdentity | null;
  conmon: ProcessIdentity | null;
}

/** runc; conmon, which outlives the cell process, watches what runs in a container, and writes logs and exit codes. */
export class Runtime {
  readonly #stateDirectory: string;
  readonly #logLimitBytes: number;
  #sealedRunc: string | null = null;

  constructor(stateDirectory: string, logLimitBytes: number) {
    this.#stateDirectory = stateDirectory;
    this.#logLimitBytes = logLimitBytes;
  }

  // Looked for when there is a container: without an image of the engines there was none, and nothing to take down.
  get #runc(): string {
    this.#sealedRunc ??= sealedCopy(enginePath('runc'));
    return this.#sealedRunc;
  }

  get #conmon(): string {
    return enginePath('conmon');
  }

  /**
   * Makes a container of the bundle, whose first process runs when this resolves; null where it ended at once. Nobody watches it but the
   * machine's first process: it says nothing, and only the garden ends it. Throws `container_runtime_failed`.
   */
  async start(id: string, bundle: string, directory: string): Promise<ProcessIdentity | null> {
    const files = processFiles(directory);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const log = ['--log', files.log];
    const runc = [this.#runc, '--root', this.#stateDirectory, ...log, 'run', '--detach', '--bundle', bundle];
    try {
      // What runc has as its input and output, the container keeps.
      await runEngine('sh', ['-c', '"$@" </dev/null >/dev/null 2>&1', 'sh', ...runc, '--pid-file', files.pid, id]);
    } catch {
      throw refused(await readFile(files.log, 'utf8').catch(() => ''));
    }
    return identify(Number(await readFile(files.pid, 'utf8')));
  }

  /** Starts what `process.json` in `directory` says. Throws `container_runtime_failed`. */
  async exec(id: string, processId: string, directory: string): Promise<StartedProcess> {
    const files = processFiles(directory);
    await mkdir(files.exitDirectory, { recursive: true, mode: 0o700 });
    // conmon puts its flag `oom` where it was started.
    const [program, ...words] = engineCommand(
      this.#conmon,
      [
        ...['--api-version', '1', '-c', id, '-n', id, '-r', this.#runc, '-b', directory],
        ...['--runtime-arg', `--root=${this.#stateDirectory}`, '-p', files.pid, '-P', files.conmonPid],
        ...['--exit-dir', files.exitDirectory, '--full-attach', '--no-sync-log', '--log-level', 'error'],
        ...['-u', `${id}-${processId}`, '-l', `k8s-file:${files.log}`, '--log-size-max', String(this.#logLimitBytes)],
        ...['-e', '--exec-process-spec', files.spec],
      ],
      directory,
    );
    const child = spawn(program, words, {
      cwd: directory,
      env: { ...PLAIN_ENVIRONMENT, _OCI_SYNCPIPE: '3' },
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      detached: true,
    });
    const answer = await firstLine(child, child.stdio[3] as Readable);
    const { data, message } = parseAnswer(answer);
    if (data <= 0) throw refused(message);
    const conmonPid = Number(await readFile(files.conmonPid, 'utf8').catch(() => '0'));
    return { process: identify(data), conmon: identify(conmonPid) };
  }

  /** A short command as vcap whose input and output are streams of the caller; it ends with the cell process. Throws `container_runtime_failed`. */
  execPiped(id: string, args: readonly string[]): Program {
    const environment = Object.entries(PLAIN_ENVIRONMENT).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
    return this.#piped(['exec', '--user', '2000:2000', '--cwd', '/', ...environment, id, ...args]);
  }

  /** A process in the container, in the group `group` (see `Cgroups.createBelow`); this very process ends with it. */
  execSession(
    id: string,
    options: { spec: string; pidFile: string; group: string; stdio: StdioOptions },
  ): ChildProcess {
    const { spec, pidFile, group, stdio } = options;
    const args = ['exec', '--process', spec, '--pid-file', pidFile, '--cgroup', group, id];
    const [program, ...words] = engineCommand(this.#runc, ['--root', this.#stateDirectory, ...args]);
    return spawn(program, words, { env: PLAIN_ENVIRONMENT, stdio });
  }

  /** Runs a whole container in the foreground. Throws `container_runtime_failed`. */
  runPiped(id: string, bundle: string): Program {
    return this.#piped(['run', '--bundle', bundle, id]);
  }

  /** Removes runc's state and cgroups of a container whose processes are dead; kills them first with `force`. */
  async delete(id: string, force: boolean): Promise<void> {
    await this.#run(['delete', ...(force ? ['--force'] : []), id]);
  }

  #piped(args: readonly string[]): Program {
    try {
      const [program, ...words] = engineCommand(this.#runc, ['--root', this.#stateDirectory, ...args]);
      return startProgram(program, words, { env: PLAIN_ENVIRONMENT });
    } catch (cause) {
      throw new CupolaError('container_runtime_failed', 'runc could not be started', { cause });
    }
  }

  async #run(args: readonly string[]): Promise<void> {
    await runEngine(this.#runc, ['--root', this.#stateDirectory, ...args]);
  }
}

function refused(words: string): CupolaError {
  return new CupolaError(
    'container_runtime_failed',
    `the container runtime refused: ${programFault(words) ?? classOf(words)}`,
  );
}

/** Which program could not be started and why, where that is what the runtime says and it has a plain name; its arguments are not in it. */
function programFault(message: string): string | null {
  const fault =
    /exec: \\?"[\w./+-]{1,200}\\?": (?:stat [\w./+-]{1,200}: )?(?:executable file not found|no such file|permission denied)/;
  return fault.exec(message)?.[0] ?? null;
}

/** conmon answers with one line of JSON when the process runs or could not be started. */
function firstLine(child: ChildProcess, pipe: Readable): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  child.on('error', reject);
  const lines = createInterface({ input: pipe });
  lines.once('line', (line) => {
    resolve(line);
    lines.close();
    pipe.destroy();
  });
  lines.once('close', () => resolve(''));
  return promise;
}

const Answer = Type.Object({
  data: Type.Optional(Type.Integer()),
  pid: Type.Optional(Type.Integer()),
  message: Type.Optional(Type.String()),
});

function parseAnswer(line: string): { data: number; message: string } {
  try {
    const answer = checkedJson(Answer, line, { code: 'container_runtime_failed', what: 'what conmon says' });
    return { data: answer.data ?? answer.pid ?? -1, message: answer.message ?? 'no reason given' };
  } catch {
    return { data: -1, message: 'no answer' };
  }
}
