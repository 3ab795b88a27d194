import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import * as yauzl from 'yauzl';
import { asRefusal } from './archive-refusal.ts';

/**
 * Opens a zip; nothing but its end is read by then, where it says what it holds. Names stay bytes. Throws ArchiveRefusedError, and
 * what the system says of the file.
 */
export async function openZip(path: string, bytes: number): Promise<{ zip: yauzl.ZipFile; reader: ZipReader }> {
  const file = await open(path, 'r');
  const reader = new ZipReader(path, file);
  const { promise, resolve, reject } = Promise.withResolvers<{ zip: yauzl.ZipFile; reader: ZipReader }>();
  const options = { lazyEntries: true, autoClose: false, decodeStrings: false, validateEntrySizes: true };
  yauzl.fromRandomAccessReader(reader, bytes, options, (error, zip) => {
    if (!error) return resolve({ zip, reader });
    const refusal = asRefusal(error, 'the upload is not a zip archive');
    file.close().then(() => reject(refusal), reject);
  });
  return promise;
}

/** So much is read ahead, and kept, where a read goes on where the one before it ended, as those of a directory do. */
export const AHEAD_BYTES = 64 * 1024;

/**
 * Reads a file for the library, whose own reader ends the process where a stream is destroyed that waits behind another one. Here
 * each stream has a descriptor of its own, and closes it however it ends.
 */
class ZipReader extends yauzl.RandomAccessReader {
  readonly #path: string;
  readonly #file: FileHandle;
  /** Where the last read ended. */
  #end = -1;
  #ahead: { from: number; bytes: Buffer } = { from: 0, bytes: Buffer.alloc(0) };

  constructor(path: string, file: FileHandle) {
    super();
    this.#path = path;
    this.#file = file;
  }

  override createReadStream({ start, end }: { start: number; end: number }): Readable {
    return start === end ? Readable.from([]) : createReadStream(this.#path, { start, end: end - 1 });
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.#read(buffer.subarray(offset, offset + length), position).then(() => callback(null), callback);
  }

  async #read(target: Buffer, position: number): Promise<void> {
    const goesOn = position === this.#end;
    this.#end = position + target.length;
    const bytes = await (goesOn ? this.#bytesAhead(position, target.length) : this.#bytesAt(position, target.length));
    if (bytes.length < target.length) throw new Error('the file ends too early');
    bytes.copy(target, 0, 0, target.length);
  }

  async #bytesAhead(position: number, length: number): Promise<Buffer> {
    const { from, bytes } = this.#ahead;
    if (position >= from && position + length <= from + bytes.length) return bytes.subarray(position - from);
    const read = await this.#bytesAt(position, Math.max(length, AHEAD_BYTES));
    this.#ahead = { from: position, bytes: read };
    return read;
  }

  /** Fewer where the file ends before. */
  async #bytesAt(position: number, length: number): Promise<Buffer> {
    const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafe(length), 0, length, position);
    return buffer.subarray(0, bytesRead);
  }

  /** Once the directory has been read: keeps nothing of what was read ahead. */
  letGo(): void {
    this.#ahead = { from: 0, bytes: Buffer.alloc(0) };
    this.#end = -1;
  }

  /** Called when the archive is closed and nothing reads of it any more. */
  override close(callback: (error: Error | null) => void): void {
    this.#file.close().then(() => callback(null), callback);
  }
}
