import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { CupolaError } from './errors.ts';

/**
 * One entry of a tar, its extended headers resolved: POSIX.1-2001 pax, GNU long names. Global headers say nothing of it, as with
 * Go's archive/tar, which containerd and Docker read layers with. File names are bytes, not text: a character here is one byte ("latin1").
 */
export interface TarMember {
  /** As it stands in the archive. */
  name: string;
  type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo' | 'device';
  linkName: string;
  mode: number;
  uid: number;
  gid: number;
  /** Seconds since 1970. */
  modified: number;
  /** Of the content that follows. */
  size: number;
}

export const TAR_BLOCK = 512;
/** Of one extended header; the longest attribute of a file is as long, and none is used. */
const MOST_EXTENDED_BYTES = 64 * 1024;
/** Before one member: ordinary writers have one of each kind. */
const MOST_EXTENDED = 8;
/** What is kept of extended headers. */
const USED: ReadonlySet<string> = new Set(['path', 'linkpath', 'size', 'uid', 'gid', 'mtime']);
const KINDS = { file: '0', hardlink: '1', symlink: '2', device: '3', directory: '5', fifo: '6', extended: 'x' };
const TYPES: Readonly<Record<string, TarMember['type']>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'device',
  '4': 'device',
  '5': 'directory',
  '6': 'fifo',
};

/** What extended headers say about the next member; of no more names than are used. */
type Extended = Map<string, string>;

/** Makes the error of a tar that is none, or is beyond a bound, of why it is. */
export type TarRefusal = (why: string) => Error;

function invalid(why: string): CupolaError {
  return new CupolaError('tar_invalid', `the tar is not valid: ${why}`);
}

/** Reads a tar, which anybody may have made, as it comes: each member, and its content before the next one is asked for. */
export class TarReader {
  readonly #bytes: ByteSource;
  readonly #refused: TarRefusal;
  #extendedBytes = 0;
  #left = 0;
  #padding = 0;

  /** Throws what `refused` makes; `tar_invalid` without it. */
  constructor(source: AsyncIterable<Buffer>, refused: TarRefusal = invalid) {
    this.#bytes = new ByteSource(source, refused);
    this.#refused = refused;
  }

  /** Of all extended headers so far: they take no room of their own, and time as content does. */
  get extendedBytes(): number {
    return this.#extendedBytes;
  }

  /** Every member, and then the source to its very end, where its digest is known and its writer has ended. Leaving early ends the source. */
  async *[Symbol.asyncIterator](): AsyncGenerator<TarMember> {
    try {
      for (let member = await this.#next(); member; member = await this.#next()) yield member;
    } finally {
      await this.#bytes.end();
    }
  }

  /** The content of the member that came last. What is not read of it is passed over. */
  async *content(): AsyncGenerator<Buffer> {
    while (this.#left > 0) {
      const piece = await this.#bytes.some(this.#left);
      this.#left -= piece.length;
      yield piece;
    }
  }

  async #next(): Promise<TarMember | null> {
    const own: Extended = new Map();
    for (let headers = 0; ; headers += 1) {
      for await (const _ of this.content()) {
        // not wanted
      }
      await this.#bytes.take(this.#padding);
      this.#padding = 0;
      const block = await this.#bytes.take(TAR_BLOCK);
      if (block === null || block.every((byte) => byte === 0)) {
        await this.#bytes.drain();
        return null;
      }
      const header = new Header(block, this.#refused);
      if ('xgLK'.includes(header.kind)) {
        if (headers === MOST_EXTENDED) throw this.#refused('there are too many extended headers');
        this.#expect(header.size);
        this.#take(header.kind, await this.#extended(header.size), own);
        await setImmediate(); // many short names take long: others have their turn in between
        continue;
      }
      const member = header.member(own);
      this.#expect(member.size);
      return member;
    }
  }

  #expect(size: number): void {
    this.#left = size;
    this.#padding = paddingOf(size);
  }

  #take(kind: string, value: Buffer, own: Extended): void {
    if (kind === 'L') own.set('path', textOf(value));
    else if (kind === 'K') own.set('linkpath', textOf(value));
    else if (kind === 'x') this.#readPax(value, own);
  }

  async #extended(size: number): Promise<Buffer> {
    if (size > MOST_EXTENDED_BYTES) throw this.#refused('an extended header is too long');
    this.#extendedBytes += TAR_BLOCK + size;
    const pieces: Buffer[] = [];
    for await (const piece of this.content()) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  /** "27 path=some/long/name\n" and so on. */
  #readPax(value: Buffer, into: Extended): void {
    for (let at = 0; at < value.length; ) {
      // A length within a header's bound has few digits.
      const space = value.subarray(at, at + 8).indexOf(0x20);
      const length = space < 1 ? 0 : Number(value.toString('latin1', at, at + space));
      const record = value.subarray(at + space + 1, at + length - 1);
      const equals = record.indexOf(0x3d);
      if (!Number.isSafeInteger(length) || length < 5 || at + length > value.length || equals < 1) {
        throw this.#refused('an extended header is not valid');
      }
      const name = record.toString('latin1', 0, Math.min(equals, 16));
      if (USED.has(name)) into.set(name, record.toString('latin1', equals + 1));
      at += length;
    }
  }
}

/** One block that describes what follows it. */
class Header {
  readonly kind: string;
  readonly size: number;
  readonly #block: Buffer;
  readonly #refused: TarRefusal;

  constructor(block: Buffer, refused: TarRefusal) {
    this.#block = block;
    this.#refused = refused;
    this.size = this.#number(124, 136);
    if (octal(block, 148, 156) !== checksum(block)) throw refused('a header has a wrong checksum');
    this.kind = block.toString('latin1', 156, 157);
  }

  /** `extended`: what extended headers say instead. */
  member(extended: Extended): TarMember {
    const block = this.#block;
    const type = TYPES[this.kind];
    if (!type) throw this.#refused('an entry is of a kind that is not supported');
    const field = (name: string): number | null => {
      const text = extended.get(name);
      if (text === undefined) return null;
      const value = Math.floor(Number(text));
      if (!Number.isSafeInteger(value)) throw this.#refused(`an extended header has a wrong ${name}`);
      return value;
    };
    const prefix = block.toString('latin1', 257, 262) === 'ustar' ? textOf(block.subarray(345, 500)) : '';
    const short = textOf(block.subarray(0, 100));
    const name = extended.get('path') ?? (prefix === '' ? short : `${prefix}/${short}`);
    const size = type === 'file' ? (field('size') ?? this.size) : 0;
    if (size < 0) throw this.#refused('an entry has a negative size');
    return {
      // before POSIX a directory was a file whose name ends in a slash
      type: type === 'file' && name.endsWith('/') ? 'directory' : type,
      name,
      linkName: extended.get('linkpath') ?? textOf(block.subarray(157, 257)),
      mode: octal(block, 100, 108) & 0o7777,
      uid: field('uid') ?? this.#number(108, 116),
      gid: field('gid') ?? this.#number(116, 124),
      modified: Math.max(0, field('mtime') ?? this.#number(136, 148)),
      size,
    };
  }

  /** Octal, or base 256 where the first bit is set. Throws for what is no whole number of at least 0. */
  #number(start: number, end: number): number {
    const first = this.#block[start]!;
    let value: number;
    if (first & 0x80) {
      const digits = [first & 0x7f, ...this.#block.subarray(start + 1, end)];
      value = digits.reduce((sum, digit) => sum * 256 + digit, 0);
    } else {
      value = octal(this.#block, start, end);
    }
    if (!Number.isSafeInteger(value)) throw this.#refused('a header has a wrong number');
    return value;
  }
}

/** The blocks before a member's content: its header, after an extended one where a name or a number is too long for it. */
export function tarHeader(member: TarMember): Buffer {
  const long = [
    ...(member.name.length > 100 ? [paxRecord('path', member.name)] : []),
    ...(member.linkName.length > 100 ? [paxRecord('linkpath', member.linkName)] : []),
    ...(member.size >= 8 ** 11 ? [paxRecord('size', String(member.size))] : []),
  ];
  if (long.length === 0) return blockOf(member, KINDS[member.type]);
  const body = Buffer.concat(long);
  const about = { ...member, name: 'extended', linkName: '', mode: 0o644, uid: 0, gid: 0, modified: 0 };
  return Buffer.concat([
    blockOf({ ...about, size: body.length }, KINDS.extended),
    body,
    tarPadding(body.length),
    blockOf(member, KINDS[member.type]),
  ]);
}

/** What stands between content of so many bytes and the next header. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc(paddingOf(size));
}

/** Ends an archive. */
export const TAR_END: Buffer = Buffer.alloc(2 * TAR_BLOCK);

/** A tar with one regular file of known size. Fails with `content_length_wrong` where there is more or less of it. */
export function tarOf(file: { name: string; size: number; owner: number }, content: Readable): Readable {
  const { name, size, owner } = file;
  return Readable.from(
    (async function* () {
      yield tarHeader({ name, size, type: 'file', linkName: '', mode: 0o644, uid: owner, gid: owner, modified: 0 });
      let written = 0;
      for await (const chunk of content) {
        written += chunk.length;
        yield chunk;
      }
      if (written !== size) throw new CupolaError('content_length_wrong', `${name} has ${written} bytes, not ${size}`);
      yield tarPadding(size);
      yield TAR_END;
    })(),
    { objectMode: false },
  );
}

/** A pax record, which states its own length. */
function paxRecord(name: string, value: string): Buffer {
  const rest = ` ${name}=${value}\n`;
  let length = rest.length + 1;
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
  return Buffer.from(`${length}${rest}`, 'latin1');
}

function blockOf(fields: Omit<TarMember, 'type'>, kind: string): Buffer {
  const header = Buffer.alloc(TAR_BLOCK);
  const octal = (value: number, at: number, digits: number): void => {
    header.write(`${value.toString(8).padStart(digits, '0').slice(-digits)}\0`, at, 'latin1');
  };
  header.write(fields.name.slice(0, 100), 0, 'latin1');
  octal(fields.mode, 100, 7);
  octal(fields.uid, 108, 7);
  octal(fields.gid, 116, 7);
  octal(fields.size, 124, 11);
  octal(Math.min(fields.modified, 8 ** 11 - 1), 136, 11);
  header.write('        ', 148, 'latin1');
  header.write(kind, 156, 'latin1');
  header.write(fields.linkName.slice(0, 100), 157, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  header.write(`${checksum(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

function paddingOf(size: number): number {
  return (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK;
}

function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}

function octal(block: Buffer, start: number, end: number): number {
  const text = block.toString('latin1', start, end).replaceAll('\0', ' ').trim();
  return text === '' ? 0 : /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
}

function checksum(block: Buffer): number {
  let sum = 0;
  for (let index = 0; index < TAR_BLOCK; index += 1) sum += index >= 148 && index < 156 ? 0x20 : block[index]!;
  return sum;
}

class ByteSource {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #refused: TarRefusal;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>, refused: TarRefusal) {
    this.#chunks = source[Symbol.asyncIterator]();
    this.#refused = refused;
  }

  /** Exactly so many bytes; null where the stream ended before the first. */
  async take(bytes: number): Promise<Buffer | null> {
    const pieces: Buffer[] = [];
    let left = bytes;
    while (left > 0) {
      if (this.#rest.length === 0 && !(await this.#more())) {
        if (left === bytes) return null;
        throw this.#refused('it ends in the middle');
      }
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      pieces.push(piece);
    }
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }

  /** What is at hand, at most so many bytes. */
  async some(bytes: number): Promise<Buffer> {
    if (this.#rest.length === 0 && !(await this.#more())) throw this.#refused('it ends in the middle');
    const piece = this.#rest.subarray(0, bytes);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  async drain(): Promise<void> {
    this.#rest = Buffer.alloc(0);
    while (await this.#more()) this.#rest = Buffer.alloc(0);
  }

  /** No more of it is wanted. */
  async end(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#chunks.next();
    if (done) return false;
    this.#rest = value;
    return true;
  }
}
