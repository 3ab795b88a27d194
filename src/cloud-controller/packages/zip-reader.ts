import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import * as yauzl from 'yauzl';
import { asRefusal } from './archive-refusal.ts';

/**
 * Opens a zip; nothing but its end is read by then, where it says what it holds. Names stay bytes. Throws ArchiveRefusedError, and
 * what the system says of the file.
 */
export async function openZip(path: string, bytes: number): Promise<yauzl.ZipFile> {
  const file = await open(path, 'r');
  const { promise, resolve, reject } = Promise.withResolvers<yauzl.ZipFile>();
  const options = { lazyEntries: true, autoClose: false, decodeStrings: false, validateEntrySizes: true };
  yauzl.fromRandomAccessReader(new ZipReader(path, file), bytes, options, (error, zip) => {
    if (!error) return resolve(zip);
    const refusal = asRefusal(error, 'the upload is not a zip archive');
    file.close().then(() => reject(refusal), reject);
  });
  return promise;
}

/**
 * Reads a file for the library, whose own reader ends the process where a stream is destroyed that waits behind another one. Here
 * each stream has a descriptor of its own, and closes it however it ends.
 */
class ZipReader extends yauzl.RandomAccessReader {
  readonly #path: string;
  readonly #file: FileHandle;

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
    this.#file
      .read(buffer, offset, length, position)
      .then(({ bytesRead }) => callback(bytesRead < length ? new Error('the file ends too early') : null), callback);
  }

  /** Called when the archive is closed and nothing reads of it any more. */
  override close(callback: (error: Error | null) => void): void {
    this.#file.close().then(() => callback(null), callback);
  }
}
