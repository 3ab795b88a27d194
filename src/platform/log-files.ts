import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import Type from 'typebox';
import { checkedJson } from '../kit/checked.ts';
import type { Logger } from '../kit/log.ts';
import type { Owner } from '../kit/owned-files.ts';
import type { Layout } from './layout.ts';

export interface LogFile {
  path: string;
  /** Where what was before goes: `<archive>.1` is the latest. A directory of root's. */
  archive: string;
  /** Who writes it. Where that is not root the path may lead astray: only a plain file of that very user is touched. */
  uid: number;
}

export interface LogLimits {
  /** A file that is larger is begun anew. */
  bytes: number;
  /** How many of before are kept. */
  keep: number;
}

const LOG_LIMITS: LogLimits = { bytes: 20 * 1024 * 1024, keep: 5 };

/**
 * Bounds the platform's own log files. The writers hold them open to append, and most cannot be told to open them anew: the content
 * is copied and the file cut to nothing, so that whatever they write next begins it. Gives the paths it rotated.
 */
export function rotateLogs(files: readonly LogFile[], limits: LogLimits = LOG_LIMITS): string[] {
  return files.filter((file) => rotate(file, limits)).map(({ path }) => path);
}

/** Root's log files of a directory, without those of before. */
export function logFilesIn(directory: string): LogFile[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.log'))
    .map((name) => ({ path: join(directory, name), archive: join(directory, name), uid: 0 }));
}

/** All logs of an installation, the database's own among them. */
export function rotatePlatformLogs(
  { settings, logs }: Pick<Layout, 'settings' | 'logs'>,
  postgresql: Owner,
  log: Logger,
): void {
  const database = ['postgresql', ...clusterNames(`${settings.dataDirectory}/databases`)].map((cluster) => ({
    path: `${settings.dataDirectory}/${cluster}/server.log`,
    archive: `${logs}/postgresql.log`,
    uid: postgresql.uid,
  }));
  const rotated = rotateLogs([...logFilesIn(logs), ...database]);
  if (rotated.length > 0) log.info('log files were begun anew', { rotated });
}

function clusterNames(directory: string): string[] {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  return names.filter((name) => /^\d+$/.test(name)).map((name) => `databases/${name}`);
}

const ErrorLine = Type.Object({
  time: Type.String(),
  level: Type.Literal('error'),
  message: Type.String(),
  error: Type.Optional(Type.Object({ message: Type.String() })),
});

/** What the newest error of a log says that was written since; null where none was. */
export function lastErrorIn(path: string, since: Date): string | null {
  for (const line of readFileSync(path, 'utf8').split('\n').reverse()) {
    if (!line.startsWith('{')) continue; // an engine's own words, or Node.js's
    try {
      const { time, message, error } = checkedJson(ErrorLine, line, { code: 'invalid_file', what: path });
      return new Date(time) >= since ? (error?.message ?? message) : null;
    } catch {
      // Another level.
    }
  }
  return null;
}

function rotate({ path, archive, uid }: LogFile, { bytes, keep }: LogLimits): boolean {
  let from: number;
  try {
    from = openSync(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return false; // it is not there yet, or no plain file
  }
  try {
    const stat = fstatSync(from);
    if (!stat.isFile() || stat.uid !== uid || stat.nlink !== 1 || stat.size <= bytes) return false;
    const part = `${archive}.part`;
    rmSync(part, { force: true });
    const to = openSync(part, 'wx', 0o600);
    try {
      copyAll(from, to);
      fsyncSync(to);
      // What was written meanwhile; between its last read and the cut nothing else is done.
      copyAll(from, to, fstatSync(to).size);
      ftruncateSync(from, 0);
    } finally {
      closeSync(to);
    }
    rmSync(`${archive}.${keep}`, { force: true });
    for (let number = keep - 1; number >= 1; number--) move(`${archive}.${number}`, `${archive}.${number + 1}`);
    renameSync(part, `${archive}.1`);
    return true;
  } finally {
    closeSync(from);
  }
}

function copyAll(from: number, to: number, start = 0): void {
  const buffer = Buffer.allocUnsafe(1 << 20);
  for (let position = start; ; ) {
    const read = readSync(from, buffer, 0, buffer.length, position);
    if (read === 0) return;
    writeSync(to, buffer, 0, read);
    position += read;
  }
}

function move(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch {
    // There are not that many yet.
  }
}
