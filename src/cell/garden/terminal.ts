import { closeSync, constants, openSync, write } from 'node:fs';
import { PassThrough, type Readable, Writable } from 'node:stream';
import { ReadStream } from 'node:tty';
import { duplicate, ioctl } from './kernel.ts';

/* ioctl_tty(2); the same numbers on x86_64 and arm64. */
const TCGETS = 0x5401;
const TCSETS = 0x5402;
const TIOCSWINSZ = 0x5414;
const TIOCGPTN = 0x80045430;
const TIOCSPTLCK = 0x40045431;
/** struct termios: four flag words, the line discipline, then control characters. */
const TERMIOS = { inputFlags: 0, outputFlags: 4, localFlags: 12, time: 17 + 5, minimum: 17 + 6, size: 60 };

/** A full terminal is tried again after so long, then after twice as long, up to the longest; once it took something, soon again. */
const FULL_RETRY_MS = { first: 5, longest: 200 };

export interface WindowSize {
  columns: number;
  rows: number;
}

/** The host's end of a terminal, whose other end a child process gets. */
export class Terminal {
  readonly input: TerminalInput;
  /** Ends when nobody has the other end any more. */
  readonly output: Readable;
  /** The other end, for the child; close it with `release` once the child has it. */
  readonly child: number;
  #held = true;

  constructor(size: WindowSize) {
    const master = openSync('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
    try {
      this.child = openChild(master);
    } catch (error) {
      closeSync(master);
      throw error;
    }
    // Reading and writing own a descriptor each, so that none is used after somebody closed it.
    this.input = new TerminalInput(duplicate(master));
    this.output = outputOf(new ReadStream(master));
    this.resize(size);
  }

  /** A size that the client does not know, 0, changes nothing: a new terminal has 0, and programs then take what they are used to. */
  resize({ columns, rows }: WindowSize): void {
    if (this.input.destroyed || !(columns >= 1 && rows >= 1)) return;
    const size = Buffer.alloc(8);
    size.writeUInt16LE(clamp(rows), 0);
    size.writeUInt16LE(clamp(columns), 2);
    ioctl(this.input.descriptor, TIOCSWINSZ, size, 'set the window size');
  }

  /** The child has its end. */
  release(): void {
    if (this.#held) closeSync(this.child);
    this.#held = false;
  }
}

/** Raw, because the terminal inside of the container is the one that echoes and edits lines. */
function openChild(master: number): number {
  ioctl(master, TIOCSPTLCK, Buffer.alloc(4), 'unlock a terminal');
  const number = Buffer.alloc(4);
  ioctl(master, TIOCGPTN, number, 'number of a terminal');
  const child = openSync(`/dev/pts/${number.readUInt32LE()}`, constants.O_RDWR | constants.O_NOCTTY);
  const settings = Buffer.alloc(TERMIOS.size);
  ioctl(child, TCGETS, settings, 'read terminal settings');
  for (const flags of [TERMIOS.inputFlags, TERMIOS.outputFlags, TERMIOS.localFlags]) settings.writeUInt32LE(0, flags);
  settings.writeUInt8(0, TERMIOS.time);
  settings.writeUInt8(1, TERMIOS.minimum);
  ioctl(child, TCSETS, settings, 'write terminal settings');
  return child;
}

function outputOf(reader: ReadStream): Readable {
  const output = new PassThrough();
  reader.on('data', (chunk: Buffer) => {
    if (!output.write(chunk)) reader.pause();
  });
  output.on('drain', () => reader.resume());
  output.on('close', () => reader.destroy());
  // EIO is how the kernel says that the other end is closed.
  for (const event of ['error', 'end', 'close']) reader.on(event, () => output.end());
  return output;
}

/** The kernel takes 4 KiB and then nothing until somebody reads: the writer waits, and nobody else does. */
class TerminalInput extends Writable {
  readonly descriptor: number;
  #writing = false;
  #retryMs = FULL_RETRY_MS.first;

  constructor(descriptor: number) {
    super();
    this.descriptor = descriptor;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.destroyed) return;
    this.#writing = true;
    write(this.descriptor, chunk, (error, written) => {
      this.#writing = false;
      if (this.destroyed) closeSync(this.descriptor);
      else if (error && error.code !== 'EAGAIN') this.destroy();
      else if (error) {
        setTimeout(() => this._write(chunk, '', done), this.#retryMs);
        this.#retryMs = Math.min(2 * this.#retryMs, FULL_RETRY_MS.longest);
      } else {
        this.#retryMs = FULL_RETRY_MS.first;
        if (written === chunk.length) done();
        else this._write(chunk.subarray(written), '', done);
      }
    });
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#writing) closeSync(this.descriptor);
    done(error);
  }
}

const clamp = (value: number): number => Math.min(65_535, Math.trunc(value));
