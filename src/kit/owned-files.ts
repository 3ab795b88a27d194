import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  type Stats,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { CupolaError, codeOf } from './errors.ts';
import { run } from './process.ts';

/*
 * What root makes, changes and gives away where other accounts have directories of their own. A path is a sentence whose words may
 * be changed by whoever owns one of its directories, while it is spoken: nothing here changes anything by a path. The directory of
 * the last name is opened, links refused; everything happens below that descriptor (/proc/self/fd stands in for the *at calls,
 * which Node.js does not have) or on a descriptor of the thing itself. What leads to that directory must be root's.
 */

/** A user and a group by number. */
export interface Owner {
  uid: number;
  gid: number;
}

export interface Access {
  mode: number;
  /** Without it: whoever calls. */
  owner?: Owner | undefined;
}

const { O_RDONLY, O_RDWR, O_WRONLY, O_CREAT, O_EXCL, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** open(2): a descriptor of the name itself, for which nothing is opened. */
const O_PATH = 0o10000000;
const BY_GROUP_OR_OTHERS = 0o077;
const WRITE_BY_GROUP = 0o020;
const WRITE_BY_OTHERS = 0o002;
const STICKY = 0o1000;
const NOT_A_FILE = new Set(['EISDIR', 'EEXIST', 'ENOTEMPTY', 'EPERM']);
const NO_LINK = new Set(['EXDEV', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP']);
const READ_BYTES = 64 * 1024;
const MOST_REMOVING_MS = 10 * 60_000;
/** Of ext4, where fsck puts what has no name. */
const LOST = 'lost+found';
/** As Linux follows. */
const MOST_LINKS = 40;

/**
 * Makes a directory with this owner and mode, or gives the one that is there both; those above it are made where they are missing.
 * Gives the path. Throws `unsafe_path` where a link or a file is in its place, or where its way leads through another account's.
 */
export function makeDirectory(path: string, { mode, owner = self() }: Access): string {
  if (!existsSync(dirname(path))) makeDirectory(dirname(path), { mode: 0o755 });
  inParent(path, (name) => {
    try {
      mkdirSync(name, { mode: 0o700 });
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    const directory = opened(path, name, O_RDONLY | O_DIRECTORY);
    try {
      give(directory, owner, mode);
    } finally {
      closeSync(directory);
    }
  });
  return path;
}

/**
 * The path of a directory without links, whether or not it is there: what the kernel lists of mounts and of processes has no other.
 * Links that root made are the operator's words. Throws `unsafe_path` for one that somebody else could have made.
 */
export function realDirectory(path: string): string {
  return walk('/', resolve(path).split('/').filter(Boolean), MOST_LINKS);

  function walk(real: string, names: readonly string[], links: number): string {
    const [name, ...rest] = names;
    if (name === undefined) return real;
    const step = join(real, name);
    const stat = lstatSync(step, { throwIfNoEntry: false });
    if (stat?.isSymbolicLink() !== true) return walk(step, rest, links);
    const directory = lstatSync(real);
    if (!isOwn(stat) || !isOwn(directory) || isOpen(directory)) {
      throw unsafe(path, `leads through the link ${step}, which others may change`);
    }
    if (links === 0) throw unsafe(path, 'leads through too many links');
    const target = resolve(real, readlinkSync(step));
    return walk('/', [...target.split('/').filter(Boolean), ...rest], links - 1);
  }
}

/** Lets nobody but its owner into a directory that the operator named, by whatever way it is reached. */
export function closeDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const directory = openSync(path, O_RDONLY | O_DIRECTORY);
  try {
    fchmodSync(directory, 0o700);
  } finally {
    closeSync(directory);
  }
}

/**
 * Puts a file with this content, owner and mode in the place of what has its name, which is not opened: a link is replaced, what it
 * leads to is not touched. Whoever reads it sees the old or the new, whole. `flush`: it is on the disk when this returns.
 * Throws `unsafe_path` as `makeDirectory` does, and where a directory has its name.
 */
export function replaceFile(
  path: string,
  content: string,
  { mode, owner = self(), flush = false }: Access & { flush?: boolean },
): void {
  inParent(path, (name) => {
    const part = `${name}.new`;
    try {
      removeName(part);
      const file = openSync(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      try {
        writeFileSync(file, content, { flush });
        give(file, owner, mode);
      } finally {
        closeSync(file);
      }
      renameSync(part, name);
    } catch (cause) {
      if (NOT_A_FILE.has(codeOf(cause) ?? '')) throw unsafe(path, 'has no file in its place', cause);
      throw cause;
    }
  });
}

/**
 * Gives a file of ours one more name, in the place of what has that name: whoever owns the directory may rename it and has no more of a
 * say in it than before. False where it cannot have one: it lies on another file system or mount, has as many names as a file can, or
 * others may write to it. Throws `unsafe_path` as `replaceFile`.
 */
export function linkFile(path: string, file: string): boolean {
  if (!isOwnAlone(lstatSync(file))) return false;
  return inParent(path, (name) => {
    try {
      removeName(name);
      linkSync(file, name);
      // Whoever may change its directory could have put another in its place.
      const linked = isOwnAlone(lstatSync(name));
      if (!linked) removeName(name);
      return linked;
    } catch (cause) {
      const code = codeOf(cause) ?? '';
      if (NO_LINK.has(code)) return false;
      if (NOT_A_FILE.has(code)) throw unsafe(path, 'has no file in its place', cause);
      throw cause;
    }
  });
}

/** Makes an empty file where there is none, and gives it this owner and mode. Throws `unsafe_path` for anything but a plain file. */
export function ensureFile(path: string, { mode, owner = self() }: Access): void {
  inParent(path, (name) => {
    const file = opened(path, name, O_RDWR | O_CREAT | O_NONBLOCK, 0o600);
    try {
      if (!isPlain(fstatSync(file))) throw unsafe(path, 'is no plain file of one name');
      give(file, owner, mode);
    } finally {
      closeSync(file);
    }
  });
}

/** Gives a socket that lies there an owner and a mode. Throws `unsafe_path` where it is something else. */
export function giveSocket(path: string, { mode, owner = self() }: Access): void {
  withSocket(path, (name, stat) => {
    if (stat.uid !== owner.uid || stat.gid !== owner.gid) chownSync(name, owner.uid, owner.gid);
    chmodSync(name, mode);
  });
}

/**
 * A name by which the very socket at `path` is reached as long as `body` takes, for who does not want to speak with what another
 * account put there: it is no link, and belongs to who owns its directory. Throws `unsafe_path`.
 */
export function withOwnSocket<T>(path: string, body: (name: string) => Promise<T>): Promise<T> {
  return withSocket(path, (name, stat, directory) => {
    if (stat.uid !== directory.uid) throw unsafe(path, 'is not of the account whose directory it lies in');
    return body(name);
  });
}

/**
 * The text of a file that another account may have put there; null where there is none. Neither a link is followed nor a pipe
 * waited for. Throws `unsafe_path` for what is no plain file or larger than `mostBytes`.
 */
export function readPlainFile(path: string, mostBytes: number): string | null {
  let file: number;
  try {
    file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw unsafe(path, 'is no plain file', error);
  }
  try {
    if (!fstatSync(file).isFile()) throw unsafe(path, 'is no plain file');
    const content = readUpTo(file, mostBytes + 1);
    if (content.length > mostBytes) throw unsafe(path, `has more than ${mostBytes} bytes`);
    return content.toString('utf8');
  } finally {
    closeSync(file);
  }
}

/**
 * The text of a file that only root (or who calls) could have put there and can change, by a path without links; null where there is
 * none. Neither a link is followed nor a pipe waited for. Throws `unsafe_path`, where there is none too; what the system says (EACCES)
 * where this account may not look.
 */
export function readOwnFile(path: string): string | null {
  const directory = dirname(resolve(path));
  requireOwn(directory, path, true);
  let file: number;
  try {
    file = opened(path, path, O_RDONLY | O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    // The sticky bit keeps others off what is there, and not off another file of root's that they give this name.
    if (!isOwnAlone(fstatSync(file)) || isWritable(lstatSync(directory))) {
      throw unsafe(path, "is no plain file of root's, or others may change it");
    }
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

/** Whatever size the file says to have: it may grow, or be of a file system that knows none. */
function readUpTo(file: number, bytes: number): Buffer {
  const chunks: Buffer[] = [];
  for (let left = bytes; left > 0; ) {
    const chunk = Buffer.alloc(Math.min(left, READ_BYTES));
    const read = readSync(file, chunk);
    if (read === 0) break;
    chunks.push(chunk.subarray(0, read));
    left -= read;
  }
  return Buffer.concat(chunks);
}

/**
 * Removes a tree that other accounts may own parts of and change meanwhile: rm goes from directory to directory by descriptors and
 * follows no link, which Node.js does not promise. Nothing is removed on what is mounted below.
 */
export async function removeTree(path: string): Promise<void> {
  await run('rm', ['--recursive', '--force', '--one-file-system', '--', path], { timeoutMs: MOST_REMOVING_MS });
}

/**
 * Removes all that lies in a directory but for those below it that are to stay (real paths, as of what is mounted there): they are
 * emptied, and stay with what leads to them. As `removeTree`, it follows no link. What a check of the file system found (`lost+found`)
 * stays in those that stay. `last`: names in the directory itself that go when all others are gone.
 */
export async function emptyTree(path: string, stay: readonly string[], last: readonly string[] = []): Promise<void> {
  await emptyOpened(opened(path, path, O_RDONLY | O_DIRECTORY), path, stay, last);
}

async function emptyOpened(
  directory: number,
  path: string,
  stay: readonly string[],
  last: readonly string[] = [],
): Promise<void> {
  try {
    const place = `/proc/${process.pid}/fd/${directory}`; // rm is a process of its own
    const kept = stay.includes(path) ? [LOST, ...last] : last;
    for (const name of [...readdirSync(place).filter((one) => !kept.includes(one)), ...last]) {
      const step = join(path, name);
      const here = join(place, name);
      if (!stay.some((one) => one === step || one.startsWith(`${step}/`))) await removeTree(here);
      else if (lstatSync(here).isDirectory()) await emptyOpened(opened(step, here, O_RDONLY | O_DIRECTORY), step, stay);
    }
  } finally {
    closeSync(directory);
  }
}

function withSocket<T>(path: string, body: (name: string, stat: Stats, directory: Stats) => T): T {
  return inParent(path, (name, directory) => {
    const socket = opened(path, name, O_PATH);
    const close = (): void => closeSync(socket);
    let result: T;
    try {
      const stat = fstatSync(socket);
      if (!stat.isSocket()) throw unsafe(path, 'is no socket');
      result = body(below(socket), stat, directory);
    } catch (error) {
      close();
      throw error;
    }
    if (result instanceof Promise) result.then(close, close);
    else close();
    return result;
  });
}

/** `body` gets a name for the last part of the path that means the same however the directories are renamed meanwhile. */
function inParent<T>(path: string, body: (name: string, directory: Stats) => T): T {
  const parent = dirname(resolve(path));
  const directory = opened(parent, parent, O_PATH | O_DIRECTORY, 0, leadsTo(parent) ? 0 : O_NOFOLLOW);
  try {
    const stat = fstatSync(directory);
    // By the way that was written down, and by where it leads.
    const places = isClosed(stat) ? [] : [parent, realpathSync(below(directory))];
    for (const place of places) requireOwn(dirname(place), path);
    return body(join(below(directory), basename(path)), stat);
  } finally {
    closeSync(directory);
  }
}

/** A link that root (or who calls) made in a directory of root's is a word of the operator. */
function leadsTo(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat?.isSymbolicLink() === true && isOwn(stat) && isOwn(lstatSync(dirname(path)));
}

/**
 * Nobody else can put another directory in the place of this one, or of one above it. `whole`: of none up to the root, though a closed one
 * lies between, and of none that is missing.
 */
function requireOwn(directory: string, path: string, whole = false): void {
  for (let step = directory; ; step = dirname(step)) {
    const stat = whole ? lstatSync(step, { throwIfNoEntry: false }) : lstatSync(step);
    if (stat && (!isOwn(stat) || isOpen(stat))) throw unsafe(path, `leads through ${step}, which others may change`);
    if (step === '/' || (!whole && stat && isClosed(stat))) return;
  }
}

function removeName(name: string): void {
  try {
    unlinkSync(name);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

function isOwn({ uid }: Stats): boolean {
  return uid === 0 || uid === self().uid;
}

/** A file that nobody else writes to, by whatever name. */
function isOwnAlone(stat: Stats): boolean {
  return stat.isFile() && isOwn(stat) && (stat.mode & (WRITE_BY_GROUP | WRITE_BY_OTHERS)) === 0;
}

/** Whoever may write to a directory puts another name in the place of one in it, unless the sticky bit keeps them off. */
function isOpen(stat: Stats): boolean {
  return stat.isDirectory() && isWritable(stat) && (stat.mode & STICKY) === 0;
}

function isWritable({ gid, mode }: Stats): boolean {
  const writable = gid === 0 || gid === self().gid ? WRITE_BY_OTHERS : WRITE_BY_OTHERS | WRITE_BY_GROUP;
  return (mode & writable) !== 0;
}

function isClosed(stat: Stats): boolean {
  return stat.isDirectory() && isOwn(stat) && (stat.mode & BY_GROUP_OR_OTHERS) === 0;
}

function isPlain(stat: Stats): boolean {
  return stat.isFile() && stat.nlink === 1;
}

function opened(path: string, name: string, flags: number, mode = 0, nofollow = O_NOFOLLOW): number {
  try {
    return openSync(name, flags | nofollow, mode);
  } catch (cause) {
    const code = codeOf(cause);
    if (code === 'ELOOP' || code === 'ENOTDIR') throw unsafe(path, 'is a link, or not what belongs there', cause);
    throw cause;
  }
}

/** The owner first: whoever loses it must not meet a mode that is meant for the next. */
function give(descriptor: number, { uid, gid }: Owner, mode: number): void {
  const stat = fstatSync(descriptor);
  if (stat.uid !== uid || stat.gid !== gid) fchownSync(descriptor, uid, gid);
  fchmodSync(descriptor, mode);
}

function below(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`;
}

function self(): Owner {
  return { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
}

function unsafe(path: string, why: string, cause?: unknown): CupolaError {
  return new CupolaError('unsafe_path', `${path} ${why}`, cause === undefined ? {} : { cause });
}
