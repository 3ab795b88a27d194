import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { CupolaError } from './errors.ts';

/**
 * The same stream, which may fail before its reader is there: the error waits for whoever reads (`for await`, `pipeline`) or
 * destroys it. An error that a stream has no listener for ends the process, so whatever is read after an `await`, or perhaps
 * never, comes through here.
 */
export function readLater<Stream extends Readable>(stream: Stream): Stream {
  // Libraries emit errors by hand as well, and a stream that was not destroyed by one would tell a later reader nothing.
  stream.on('error', (error) => void stream.destroy(error));
  return stream;
}

/** What is read of a file or written to it at once, by whoever keeps up with the disk: each read and write is a turn of its own. */
export const PART_BYTES = 512 * 1024;

/** A file as a stream that may be read later, by this machine itself: what a client reads slowly would lie in memory in large parts. */
export function readFileLater(path: string): Readable {
  return readLater(createReadStream(path, { highWaterMark: PART_BYTES }));
}

/**
 * The same, of a file that is open by now: its name may be given to another, or to none, before it is read. Whoever has it destroys
 * it or reads it to its end. Throws as the system does where it cannot be opened.
 */
export async function openFile(path: string): Promise<Readable> {
  const stream = readLater(createReadStream(path));
  await once(stream, 'open');
  return stream;
}

/**
 * What `make` yields of a stream, as a stream that may be read later. Whatever ends it ends its source too, also where nobody
 * read of it.
 */
export function madeOf(source: Readable, make: (chunks: AsyncIterable<Buffer>) => AsyncIterable<Buffer>): Readable {
  const made = readLater(Readable.from(make(readLater(source)), { objectMode: false }));
  return made.once('close', () => source.destroy());
}

/** Streams that were opened for something, and end with it at the latest. */
export class OwnedStreams {
  readonly #open = new Set<Readable>();
  #ended = false;

  /** The same stream; one that comes too late is ended at once. */
  own<Stream extends Readable>(stream: Stream): Stream {
    if (this.#ended) stream.destroy();
    else this.#open.add(stream);
    stream.once('close', () => this.#open.delete(stream));
    return stream;
  }

  /** Destroys those that did not end by themselves. */
  end(): void {
    this.#ended = true;
    for (const stream of this.#open) stream.destroy();
  }
}

/**
 * All that a stream says, whose writer may be anybody: no more than so many bytes, and no later than by then. The stream is
 * destroyed where it is more or later. Throws `stream_too_long`, `stream_too_slow`.
 */
export async function boundedText(
  stream: Readable,
  { mostBytes, timeoutMs }: { mostBytes: number; timeoutMs: number },
): Promise<string> {
  const tooSlow = new CupolaError('stream_too_slow', `it did not end in ${timeoutMs} ms`);
  const cut = setTimeout(() => stream.destroy(tooSlow), timeoutMs);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stream) {
      const part = Buffer.from(chunk);
      bytes += part.length;
      if (bytes > mostBytes) throw new CupolaError('stream_too_long', `it says more than ${mostBytes} bytes`);
      chunks.push(part);
    }
  } finally {
    clearTimeout(cut);
  }
  return Buffer.concat(chunks).toString();
}
