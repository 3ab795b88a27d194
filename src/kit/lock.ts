import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readSync,
  type Stats,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import koffi from 'koffi';
import { CupolaError, codeOf } from './errors.ts';
import { holdsOpen, identify, type ProcessIdentity } from './process.ts';

const libc = koffi.load('libc.so.6');
const flock = libc.func('int flock(int descriptor, int operation)');
const LOCK_EX = 2;
const LOCK_NB = 4;
const RETRY_MS = 10;
/** What is read of who holds a lock. */
const HOLDER_BYTES = 4096;
/** A link is not followed: whoever may write to its directory chooses where it leads. */
const OPEN = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
/** Nor is a pipe waited for. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface HeldLock extends Disposable {
  /** Lets it go and leaves no file: for whoever took away what it guards. */
  remove(): void;
}

/**
 * Holds a lock file (flock(2)) until it is disposed or the process ends, however it ends. `what` says what the holder does,
 * for whoever finds it taken. Throws `locked` where another process holds it.
 */
export function lockFile(path: string, what: string): HeldLock {
  for (;;) {
    const file = openSync(path, OPEN, 0o600);
    if (flock(file, LOCK_EX | LOCK_NB) !== 0) {
      const holder = describeHolder(file);
      closeSync(file);
      throw new CupolaError('locked', `${holder} holds ${path}`);
    }
    // Who held it may have removed it in between: then this is the lock of nothing, and another may have the new file's.
    if (fstatSync(file).ino !== lstatSync(path, { throwIfNoEntry: false })?.ino) {
      closeSync(file);
      continue;
    }
    ftruncateSync(file, 0);
    writeSync(file, `${process.pid} ${what}\n`);
    return held(path, file);
  }
}

/** The process that holds a lock file, which is not touched for that; null where none does. */
export function holderOf(path: string): ProcessIdentity | null {
  const named = namedIn(path);
  if (named === null) return null;
  const identity = identify(named.pid);
  // Who is named may have ended, and the number be another's.
  return identity && holdsOpen(identity, named.file) ? identity : null;
}

/** Who wrote last that it holds the file, which is closed again: it may be this very process. */
function namedIn(path: string): { pid: number; file: Stats } | null {
  let file: number;
  try {
    file = openSync(path, READ);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    return { pid: Number(holderIn(file)?.pid ?? 0), file: fstatSync(file) };
  } finally {
    closeSync(file);
  }
}

/** Waits for its turn with a lock file, and then is as `lockFile`. Throws `locked` where that takes longer than `waitMs`. */
export async function waitForLockFile(path: string, what: string, waitMs = 30_000): Promise<HeldLock> {
  for (const deadline = Date.now() + waitMs; ; await pause(RETRY_MS)) {
    try {
      return lockFile(path, what);
    } catch (error) {
      if (codeOf(error) !== 'locked' || Date.now() >= deadline) throw error;
    }
  }
}

/**
 * Waits for its turn with a directory, which is made where it is missing, and holds it until it is disposed or the process ends. Its
 * holder may remove it. Closes it to all but its owner, as whoever may read it can hold it. Throws `locked` where that takes longer than
 * `waitMs`.
 */
export async function lockDirectory(path: string, waitMs = 30_000): Promise<Disposable> {
  for (const deadline = Date.now() + waitMs; Date.now() < deadline; await pause(RETRY_MS)) {
    const directory = await openMade(path);
    if (directory === null) continue;
    fchmodSync(directory, 0o700);
    const inode = fstatSync(directory).ino;
    if (flock(directory, LOCK_EX | LOCK_NB) === 0 && inode === statSync(path, { throwIfNoEntry: false })?.ino)
      return { [Symbol.dispose]: () => closeSync(directory) };
    closeSync(directory);
  }
  throw new CupolaError('locked', `another process holds ${path} for more than ${waitMs} ms`);
}

/** Null where its holder removed it in between; mkdir too says then that it is not there. */
async function openMade(path: string): Promise<number | null> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

function held(path: string, file: number): HeldLock {
  let open = true;
  const release = () => {
    if (open) closeSync(file);
    open = false;
  };
  return {
    remove() {
      if (open) unlinkSync(path);
      release();
    },
    [Symbol.dispose]: release,
  };
}

/** By the descriptor that was locked: the path may lead elsewhere by now. */
function describeHolder(file: number): string {
  const holder = holderIn(file);
  return holder === null ? 'another process' : `process ${holder.pid} ("${holder.what}")`;
}

/** What the last holder wrote of itself. */
function holderIn(file: number): { pid: string; what: string } | null {
  const [, pid, what] = /^(\d+) (.*)$/m.exec(beginningOf(file)) ?? [];
  return pid === undefined || what === undefined ? null : { pid, what };
}

function beginningOf(file: number): string {
  const buffer = Buffer.alloc(HOLDER_BYTES);
  try {
    return buffer.toString('utf8', 0, readSync(file, buffer, 0, buffer.length, 0));
  } catch {
    return ''; // a pipe has no beginning: it would be waited for
  }
}
