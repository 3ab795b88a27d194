import { closeSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import koffi from 'koffi';
import { CupolaError } from './errors.ts';

const libc = koffi.load('libc.so.6');
const flock = libc.func('int flock(int descriptor, int operation)');
const LOCK_EX = 2;
const LOCK_NB = 4;

/**
 * Holds a lock file (flock(2)) until it is disposed or the process ends, however it ends. `what` says what the holder does,
 * for whoever finds it taken. Throws `locked` where another process holds it.
 */
export function lockFile(path: string, what: string): Disposable {
  const file = openSync(path, 'a+', 0o600);
  if (flock(file, LOCK_EX | LOCK_NB) !== 0) {
    closeSync(file);
    throw new CupolaError('locked', `${describeHolder(path)} holds ${path}`);
  }
  truncateSync(path, 0);
  writeSync(file, `${process.pid} ${what}\n`);
  return { [Symbol.dispose]: () => closeSync(file) };
}

function describeHolder(path: string): string {
  const [, pid, what] = /^(\d+) (.*)$/m.exec(readFileSync(path, 'utf8')) ?? [];
  return pid === undefined ? 'another process' : `process ${pid} ("${what}")`;
}
