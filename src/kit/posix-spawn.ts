import { closeSync, statSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { CupolaError } from './errors.ts';

/*
 * Node.js starts programs by fork(2), which copies the table of all its pages: ten milliseconds of a process with 250 MB, in which it does
 * nothing else. posix_spawn(3) copies none. Its structures are opaque; the largest has 336 bytes in glibc.
 */
const libc = koffi.load('libc.so.6');
const pipe2 = libc.func('int pipe2(_Out_ int *descriptors, int flags)');
const posixSpawn = libc.func(
  'int posix_spawn(_Out_ int *pid, const char *path, void *actions, void *attributes, const char **argv, const char **envp)',
);
const actionsInit = libc.func('int posix_spawn_file_actions_init(void *actions)');
const actionsDup2 = libc.func('int posix_spawn_file_actions_adddup2(void *actions, int from, int to)');
const actionsChdir = libc.func('int posix_spawn_file_actions_addchdir_np(void *actions, const char *directory)');
const actionsClose = libc.func('int posix_spawn_file_actions_addclosefrom_np(void *actions, int from)');
const actionsDestroy = libc.func('int posix_spawn_file_actions_destroy(void *actions)');
const attributesInit = libc.func('int posix_spawnattr_init(void *attributes)');
const attributesFlags = libc.func('int posix_spawnattr_setflags(void *attributes, short flags)');
const attributesDefaults = libc.func('int posix_spawnattr_setsigdefault(void *attributes, const void *signals)');
const attributesMask = libc.func('int posix_spawnattr_setsigmask(void *attributes, const void *signals)');
const attributesDestroy = libc.func('int posix_spawnattr_destroy(void *attributes)');
const fillSignals = libc.func('int sigfillset(void *signals)');
const closeRange = libc.func('int close_range(unsigned int first, unsigned int last, int flags)');
const waitpid = libc.func('int waitpid(int pid, _Out_ int *status, int options)');

/** Where an environment names none. */
const USUAL_PATH = '/usr/bin:/bin';
const STRUCTURE_BYTES = 512;
const O_CLOEXEC = 0o2000000;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const WNOHANG = 1;
const CLOSE_RANGE_CLOEXEC = 0x04;
const LAST_DESCRIPTOR = 0xffff_ffff;
/** Before it are the standard ones. */
const FIRST_DESCRIPTOR = 3;
/** Who has closed its outputs has ended, but for a moment. */
const MOST_PAUSE_MS = 20;

/** How a program ended: one of the two is null, and both where the system does not tell. */
export interface ProgramEnd {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
}

/** A program that was started, with pipes to it. */
export interface Program {
  pid: number;
  stdin: Writable;
  stdout: Readable;
  stderr: Readable;
  /** Once it has ended and both outputs were read to their end, or destroyed. Never rejects. */
  ended: Promise<ProgramEnd>;
  /** Ends it where it runs still, and whatever else would be read of it. */
  kill(): void;
}

/**
 * Starts a program without a shell, looked for in the directories that PATH of `env` names; of this process's descriptors it has none.
 * Throws `command_not_started`, with the name of the error (ENOENT …) as `errno`.
 */
export function startProgram(
  command: string,
  args: readonly string[],
  { env, cwd }: { env: Readonly<Record<string, string>>; cwd?: string | undefined },
): Program {
  const words = [command, ...args];
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  for (const word of [...words, ...variables, cwd ?? '']) {
    // It would end there for the program.
    if (typeof word !== 'string' || word.includes('\0')) throw notStarted(constants.errno.EINVAL, command);
  }
  const path = find(command, env['PATH'] ?? USUAL_PATH);
  const pipes: [number, number][] = [];
  const actions = Buffer.alloc(STRUCTURE_BYTES);
  const attributes = plainSignals();
  check(actionsInit(actions), command);
  try {
    if (cwd !== undefined) check(actionsChdir(actions, cwd), command);
    for (const descriptor of [0, 1, 2]) {
      const ends = makePipe();
      pipes.push(ends);
      check(actionsDup2(actions, ends[descriptor === 0 ? 0 : 1], descriptor), command);
    }
    check(actionsClose(actions, FIRST_DESCRIPTOR), command); // what whoever started this process had left open in it
    const pid = [0];
    check(posixSpawn(pid, path, actions, attributes, [...words, null], [...variables, null]), command);
    const [input, output, errors] = pipes.splice(0) as [[number, number], [number, number], [number, number]];
    for (const theirs of [input[0], output[1], errors[1]]) closeSync(theirs);
    return programOf(pid[0]!, input[1], output[0], errors[0]);
  } finally {
    for (const descriptor of pipes.flat()) closeSync(descriptor);
    actionsDestroy(actions);
    attributesDestroy(attributes);
  }
}

/**
 * What whoever started this process had left open in it goes to no program that Node.js starts from here on. Throws
 * `command_not_started` where the kernel cannot (before Linux 5.11).
 */
export function closeOnExec(): void {
  const result = closeRange(FIRST_DESCRIPTOR, LAST_DESCRIPTOR, CLOSE_RANGE_CLOEXEC);
  if (result !== 0) check(koffi.errno(), 'close_range');
}

function programOf(pid: number, input: number, output: number, errors: number): Program {
  const stdin = new Socket({ fd: input, readable: false, writable: true });
  const [stdout, stderr] = [output, errors].map((fd) => new Socket({ fd, readable: true, writable: false })) as [
    Socket,
    Socket,
  ];
  let hasEnded = false;
  const end = async (): Promise<ProgramEnd> => {
    await Promise.allSettled([finished(stdout), finished(stderr)]);
    const status = [0];
    let waited = waitpid(pid, status, WNOHANG);
    for (let ms = 1; waited === 0; ms = Math.min(2 * ms, MOST_PAUSE_MS)) {
      await pause(ms);
      waited = waitpid(pid, status, WNOHANG);
    }
    hasEnded = true;
    stdin.destroy();
    return waited === pid ? unpacked(status[0]!) : { exitCode: null, signal: null };
  };
  return {
    ...{ pid, stdin, stdout, stderr },
    ended: end(),
    kill() {
      // Its number is nobody else's until it was waited for.
      if (!hasEnded) process.kill(pid, 'SIGKILL');
      for (const output of [stdout, stderr]) output.destroy();
    },
  };
}

/** As wait(2) packs it. */
function unpacked(status: number): ProgramEnd {
  const number = status & 0x7f;
  if (number === 0) return { exitCode: (status >> 8) & 0xff, signal: null };
  const [name] = Object.entries(constants.signals).find(([, value]) => value === number) ?? [];
  return { exitCode: null, signal: (name ?? `SIG${number}`) as NodeJS.Signals };
}

/** None is blocked, and none is ignored, as Node.js ignores some. */
function plainSignals(): Buffer {
  const attributes = Buffer.alloc(STRUCTURE_BYTES);
  const signals = Buffer.alloc(STRUCTURE_BYTES);
  const what = 'signals';
  check(attributesInit(attributes), what);
  check(attributesMask(attributes, signals), what);
  check(fillSignals(signals), what);
  check(attributesDefaults(attributes, signals), what);
  check(attributesFlags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK), what);
  return attributes;
}

function makePipe(): [number, number] {
  const ends: [number, number] = [-1, -1];
  if (pipe2(ends, O_CLOEXEC) !== 0) throw notStarted(koffi.errno(), 'a pipe');
  return ends;
}

function find(command: string, path: string): string {
  if (command.includes('/')) return command;
  const directories = path.split(':').filter((directory) => directory.startsWith('/'));
  const places = directories.map((directory) => join(directory, command));
  const found = places.find(isProgram);
  if (found === undefined) throw notStarted(constants.errno.ENOENT, command);
  return found;
}

function isProgram(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isFile() === true && (found.mode & 0o111) !== 0;
}

function check(error: number, what: string): void {
  if (error !== 0) throw notStarted(error, what);
}

function notStarted(error: number, what: string): CupolaError {
  const name = getSystemErrorName(-error);
  return new CupolaError('command_not_started', `${what}: ${name}`, { fields: { errno: name } });
}
