import { CupolaError } from '../../kit/errors.ts';

/**
 * One entry of a layer's tar, its extended headers resolved: POSIX.1-2001 pax, GNU long names. File names are bytes, not
 * text: a character here is one byte ("latin1").
 */
export interface LayerMember {
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

export const BLOCK = 512;
/** Extended headers are read into memory. */
const MOST_EXTENDED_BYTES = 1024 * 1024;
const TYPES: Readonly<Record<string, LayerMember['type']>> = {
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

/** What extended headers say about the next member, or about all of them. */
type Extended = ReadonlyMap<string, string>;

/** Takes bytes as they come and gives headers and content in turn. */
export class LayerMembers {
  readonly #bytes: ByteSource;
  #global: Extended = new Map();
  #left = 0;
  #padding = 0;

  constructor(source: AsyncIterable<Buffer>) {
    this.#bytes = new ByteSource(source);
  }

  /** The next member; null at the end. What is left of the content before is passed over. Throws `image_invalid`. */
  async next(): Promise<LayerMember | null> {
    let own: Extended = new Map();
    for (;;) {
      for await (const _ of this.content()) {
        // not wanted
      }
      await this.#bytes.take(this.#padding);
      this.#padding = 0;
      const block = await this.#bytes.take(BLOCK);
      if (block === null || block.every((byte) => byte === 0)) {
        await this.#bytes.drain();
        return null;
      }
      const size = this.#checkedSize(block);
      const kind = block.toString('latin1', 156, 157);
      if ('xgLK'.includes(kind)) {
        this.#expect(size);
        const value = await this.#extended(size);
        if (kind === 'g') this.#global = new Map([...this.#global, ...paxRecords(value)]);
        if (kind === 'x') own = new Map([...own, ...paxRecords(value)]);
        if (kind === 'L') own = new Map([...own, ['path', textOf(value)]]);
        if (kind === 'K') own = new Map([...own, ['linkpath', textOf(value)]]);
        continue;
      }
      const member = memberOf(block, size, TYPES[kind], new Map([...this.#global, ...own]));
      this.#expect(member.size);
      return member;
    }
  }

  /** The content of the member that `next` gave last. */
  async *content(): AsyncGenerator<Buffer> {
    while (this.#left > 0) {
      const piece = await this.#bytes.some(this.#left);
      this.#left -= piece.length;
      yield piece;
    }
  }

  #expect(size: number): void {
    this.#left = size;
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK;
  }

  #checkedSize(block: Buffer): number {
    const size = numberOf(block, 124, 136);
    if (octal(block, 148, 156) !== checksum(block)) throw broken('a header has a wrong checksum');
    return size;
  }

  async #extended(size: number): Promise<Buffer> {
    if (size > MOST_EXTENDED_BYTES) throw broken('an extended header is too long');
    const pieces: Buffer[] = [];
    for await (const piece of this.content()) pieces.push(piece);
    return Buffer.concat(pieces);
  }
}

function memberOf(
  block: Buffer,
  statedSize: number,
  type: LayerMember['type'] | undefined,
  extended: Extended,
): LayerMember {
  if (!type) throw broken('an entry is of a kind that is not supported');
  const field = (name: string): number | null => {
    const text = extended.get(name);
    if (text === undefined) return null;
    const value = Math.floor(Number(text));
    if (!Number.isSafeInteger(value)) throw broken(`an extended header has a wrong ${name}`);
    return value;
  };
  const prefix = block.toString('latin1', 257, 262) === 'ustar' ? textOf(block.subarray(345, 500)) : '';
  const short = textOf(block.subarray(0, 100));
  const name = extended.get('path') ?? (prefix === '' ? short : `${prefix}/${short}`);
  const size = type === 'file' ? (field('size') ?? statedSize) : 0;
  if (size < 0) throw broken('an entry has a negative size');
  return {
    // before POSIX a directory was a file whose name ends in a slash
    type: type === 'file' && name.endsWith('/') ? 'directory' : type,
    name,
    linkName: extended.get('linkpath') ?? textOf(block.subarray(157, 257)),
    mode: octal(block, 100, 108) & 0o7777,
    uid: field('uid') ?? numberOf(block, 108, 116),
    gid: field('gid') ?? numberOf(block, 116, 124),
    modified: Math.max(0, field('mtime') ?? numberOf(block, 136, 148)),
    size,
  };
}

/** "27 path=some/long/name\n" and so on. */
function paxRecords(value: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < value.length; ) {
    const space = value.indexOf(0x20, at);
    const length = space < 0 ? 0 : Number(value.toString('latin1', at, space));
    const record = value.subarray(space + 1, at + length - 1);
    const equals = record.indexOf(0x3d);
    if (!Number.isSafeInteger(length) || length < 5 || at + length > value.length || equals < 1) {
      throw broken('an extended header is not valid');
    }
    records.set(record.toString('latin1', 0, equals), record.toString('latin1', equals + 1));
    at += length;
  }
  return records;
}

function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}

function octal(block: Buffer, start: number, end: number): number {
  const text = block.toString('latin1', start, end).replaceAll('\0', ' ').trim();
  return text === '' ? 0 : /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
}

/** Octal, or base 256 where the first bit is set. Throws for what is no whole number of at least 0. */
function numberOf(block: Buffer, start: number, end: number): number {
  const first = block[start]!;
  let value: number;
  if (first & 0x80) {
    const digits = [first & 0x7f, ...block.subarray(start + 1, end)];
    value = digits.reduce((sum, digit) => sum * 256 + digit, 0);
  } else {
    value = octal(block, start, end);
  }
  if (!Number.isSafeInteger(value)) throw broken('a header has a wrong number');
  return value;
}

export function checksum(block: Buffer): number {
  let sum = 0;
  for (let index = 0; index < BLOCK; index += 1) sum += index >= 148 && index < 156 ? 0x20 : block[index]!;
  return sum;
}

export function broken(why: string): CupolaError {
  return new CupolaError('image_invalid', `a layer of the image is not valid: ${why}`);
}

class ByteSource {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** Exactly so many bytes; null where the stream ended before the first. */
  async take(bytes: number): Promise<Buffer | null> {
    const pieces: Buffer[] = [];
    let left = bytes;
    while (left > 0) {
      if (this.#rest.length === 0 && !(await this.#more())) {
        if (left === bytes) return null;
        throw broken('it ends in the middle');
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
    if (this.#rest.length === 0 && !(await this.#more())) throw broken('it ends in the middle');
    const piece = this.#rest.subarray(0, bytes);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  /** To the very end: only there is the digest known. */
  async drain(): Promise<void> {
    this.#rest = Buffer.alloc(0);
    while (await this.#more()) this.#rest = Buffer.alloc(0);
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#chunks.next();
    if (done) return false;
    this.#rest = value;
    return true;
  }
}
