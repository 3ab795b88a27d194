import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { codeOf } from '../../kit/errors.ts';

/** Where reading goes on: a file by inode, so that a rotated log is not mistaken for the one before. */
export interface Position {
  inode: number;
  offset: number;
}

const CHUNK_BYTES = 256 * 1024;
const LINE_END = 0x0a;
/** File events may be lost; a look now and then finds what they did not tell. */
const LOOK_MS = 1_000;

/**
 * Reads the lines of a growing file. conmon replaces the file when it is full: what is open is read to its end first.
 * `deliver` gets the whole lines of one piece and the position after them; reading waits until it resolves.
 */
export class FileTail {
  readonly #path: string;
  readonly #deliver: (lines: Buffer[], after: Position) => Promise<void>;
  #position: Position | null;
  #file: FileHandle | null = null;
  #rest: Buffer = Buffer.alloc(0);
  #ending = false;
  #aborted = false;
  #wake: () => void = () => {};
  #changed = false;
  readonly #done: Promise<void>;

  constructor(
    path: string,
    from: Position | null,
    deliver: (lines: Buffer[], after: Position) => Promise<void>,
    failed: (error: unknown) => void,
  ) {
    this.#path = path;
    this.#position = from;
    this.#deliver = deliver;
    this.#done = this.#follow().catch(failed);
  }

  /** Reads what is there to the end, then ends. */
  async finish(): Promise<void> {
    this.#ending = true;
    this.#notice();
    await this.#done;
  }

  /** Ends where it is. */
  async abort(): Promise<void> {
    this.#aborted = true;
    await this.finish();
  }

  #notice(): void {
    this.#changed = true;
    this.#wake();
  }

  async #follow(): Promise<void> {
    let watcher: FSWatcher | null = null;
    try {
      // The directory, since the file itself may be replaced.
      watcher = watch(dirname(this.#path), (_event, name) => {
        if (name === null || name === basename(this.#path)) this.#notice();
      });
      watcher.on('error', () => {}); // the directory went away; the looks go on
    } catch {
      // not there yet: the looks find it
    }
    try {
      while (!this.#aborted) {
        this.#changed = false;
        const ending = this.#ending;
        const progress = await this.#readOn();
        if (progress || this.#aborted) continue;
        if (ending) break;
        if (!this.#changed) await this.#pause();
      }
    } finally {
      watcher?.close();
      await this.#file?.close();
    }
  }

  async #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, LOOK_MS);
    if (!this.#changed && !this.#ending) await promise;
    clearTimeout(timer);
    this.#wake = () => {};
  }

  /** True when there was something to read. */
  async #readOn(): Promise<boolean> {
    if (!this.#file && !(await this.#open())) return false;
    if (!this.#file || !this.#position) return false;
    const from = this.#position.offset + this.#rest.length;
    const available = (await this.#file.stat()).size - from;
    if (available <= 0) return this.#replaced();
    const buffer = Buffer.allocUnsafe(Math.min(available, CHUNK_BYTES));
    const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, from);
    if (bytesRead === 0) return false; // cut short in between: the next look sees it
    const data =
      this.#rest.length > 0
        ? Buffer.concat([this.#rest, buffer.subarray(0, bytesRead)])
        : buffer.subarray(0, bytesRead);
    const lines: Buffer[] = [];
    let start = 0;
    for (let end = data.indexOf(LINE_END); end >= 0; end = data.indexOf(LINE_END, start)) {
      lines.push(data.subarray(start, end));
      start = end + 1;
    }
    this.#rest = Buffer.from(data.subarray(start));
    if (lines.length > 0) {
      this.#position = { inode: this.#position.inode, offset: this.#position.offset + start };
      await this.#deliver(lines, this.#position);
    }
    return true;
  }

  /** False where there is no file. */
  async #open(): Promise<boolean> {
    try {
      this.#file = await open(this.#path, 'r');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false;
      throw error;
    }
    const { ino } = await this.#file.stat();
    this.#rest = Buffer.alloc(0);
    if (this.#position?.inode !== ino) this.#position = { inode: ino, offset: 0 };
    return true;
  }

  /** At the end of the open file: goes over to the file that took its place, if one did. */
  async #replaced(): Promise<boolean> {
    const now = await stat(this.#path).catch(() => null);
    if (!now || !this.#file || !this.#position) return false;
    const { size } = await this.#file.stat();
    if (size > this.#position.offset + this.#rest.length) return true;
    if (now.ino === this.#position.inode) {
      if (now.size >= this.#position.offset) return false;
      this.#position = { inode: now.ino, offset: 0 }; // cut short in place
      this.#rest = Buffer.alloc(0);
      return true;
    }
    await this.#file.close();
    this.#file = null;
    return true;
  }
}
