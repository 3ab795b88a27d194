import { Readable } from 'node:stream';
import { CupolaError } from '../../kit/errors.ts';

const BLOCK = 512;

/** A tar with one regular file of known size, readable by its owner alone. */
export function tarOf(name: string, size: number, content: Readable): Readable {
  return Readable.from(
    (async function* () {
      yield header(name, size);
      let written = 0;
      for await (const chunk of content) {
        written += chunk.length;
        yield chunk;
      }
      if (written !== size) throw new CupolaError('content_length_wrong', `${name} has ${written} bytes, not ${size}`);
      yield Buffer.alloc(((BLOCK - (size % BLOCK)) % BLOCK) + 2 * BLOCK);
    })(),
    { objectMode: false },
  );
}

function header(name: string, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, 100);
  block.write('0000644\0', 100);
  block.write('0003720\0', 108); // vcap, 2000
  block.write('0003720\0', 116);
  writeSize(block, size);
  block.write('00000000000\0', 136);
  block.write('        ', 148);
  block.write('0', 156);
  block.write('ustar\x0000', 257);
  block.write(`${checksum(block).toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** Octal as long as it fits, base 256 beyond 8 GiB. */
function writeSize(block: Buffer, size: number): void {
  if (size < 8 ** 11) {
    block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  } else {
    block.writeUInt8(0x80, 124);
    block.writeBigUInt64BE(BigInt(size), 128);
  }
}

function readSize(block: Buffer): number {
  if (block[124]! & 0x80) return Number(block.readBigUInt64BE(128));
  return Number.parseInt(block.toString('latin1', 124, 136).replaceAll('\0', ' ').trim() || '0', 8);
}

function checksum(block: Buffer): number {
  let sum = 0;
  for (let index = 0; index < BLOCK; index++) sum += index >= 148 && index < 156 ? 0x20 : block[index]!;
  return sum;
}

/** A member of a tar: its content has to be read (or `skip`ped) before the next member is asked for. */
export interface TarMember {
  /** The path without "./". */
  name: string;
  size: number;
  isFile: boolean;
  content(): AsyncGenerator<Buffer>;
}

/**
 * The members of a plain tar as it streams in. Written for what a container gives back: nothing is created from it, names are
 * only compared. Throws CupolaError `tar_invalid` for what is not one.
 */
export async function* tarMembers(tar: Readable): AsyncGenerator<TarMember> {
  const source = new ByteSource(tar);
  let ended = false;
  try {
    for (;;) {
      const block = await source.take(BLOCK);
      if (block === null || block.every((byte) => byte === 0)) break;
      const stated = Number.parseInt(block.toString('latin1', 148, 156).replaceAll('\0', ' ').trim(), 8);
      const size = readSize(block);
      if (stated !== checksum(block) || !Number.isSafeInteger(size) || size < 0) {
        throw new CupolaError('tar_invalid', 'the container gave back no valid tar');
      }
      const type = block.toString('latin1', 156, 157);
      let left = size;
      const content = async function* () {
        while (left > 0) {
          const piece = await source.some(left);
          left -= piece.length;
          yield piece;
        }
      };
      yield { name: nameOf(block), size, isFile: type === '0' || type === '\0', content };
      for await (const _ of content()) {
        // what the reader left
      }
      await source.take((BLOCK - (size % BLOCK)) % BLOCK);
    }
    ended = true;
  } finally {
    // Only padding is left, or the reader wants no more of it.
    if (ended) tar.resume();
    else tar.destroy();
  }
}

function nameOf(block: Buffer): string {
  const text = (start: number, end: number) => block.toString('utf8', start, end).replace(/\0.*$/s, '');
  const prefix = text(345, 500);
  return `${prefix === '' ? '' : `${prefix}/`}${text(0, 100)}`.replace(/^(\.\/)+/, '').replace(/\/$/, '');
}

class ByteSource {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    // An early end of the reading must leave the stream alone: the writer's exit code is still wanted.
    this.#chunks = stream.iterator({ destroyOnReturn: false });
  }

  /** Exactly so many bytes; null where the stream ended before the first. */
  async take(bytes: number): Promise<Buffer | null> {
    const pieces: Buffer[] = [];
    let left = bytes;
    while (left > 0) {
      if (this.#rest.length === 0 && !(await this.#more())) {
        if (left === bytes) return null;
        throw new CupolaError('tar_invalid', 'the tar ends in the middle');
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
    if (this.#rest.length === 0 && !(await this.#more())) {
      throw new CupolaError('tar_invalid', 'the tar ends in the middle');
    }
    const piece = this.#rest.subarray(0, bytes);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#chunks.next();
    if (done) return false;
    this.#rest = value;
    return true;
  }
}
