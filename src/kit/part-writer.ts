import { PART_BYTES } from './streams.ts';

/** Each costs much more than its bytes where these are few. */
const MOST_PARTS = 1024;

/**
 * Writes what is added, one write at a time. What comes during a write is written together by the next one: a slow source has each
 * chunk written as it comes, and a fast one is spared a turn for each.
 */
export class PartWriter {
  readonly #write: (parts: readonly Buffer[], bytes: number) => Promise<void>;
  #parts: Buffer[] = [];
  #bytes = 0;
  /** All that waits. */
  #writing: Promise<void> | null = null;
  /** The one write that runs, or ran last. */
  #latest: Promise<void> = Promise.resolve();
  #failure: { cause: unknown } | null = null;

  constructor(write: (parts: readonly Buffer[], bytes: number) => Promise<void>) {
    this.#write = write;
  }

  /**
   * Resolves once more may be added: where much waits, when the write that runs has ended. Rejects with what a write failed with;
   * nothing is written after that.
   */
  async add(chunk: Buffer): Promise<void> {
    if (this.#failure) throw this.#failure.cause;
    this.#parts.push(chunk);
    this.#bytes += chunk.length;
    this.#writing ??= this.#run();
    if (this.#bytes >= PART_BYTES || this.#parts.length >= MOST_PARTS) await this.#latest;
  }

  /** Resolves once all is written. Rejects with what a write failed with. */
  async settled(): Promise<void> {
    await this.#writing;
    if (this.#failure) throw this.#failure.cause;
  }

  async #run(): Promise<void> {
    try {
      while (this.#parts.length > 0) {
        const [parts, bytes] = [this.#parts, this.#bytes];
        [this.#parts, this.#bytes] = [[], 0];
        this.#latest = this.#write(parts, bytes);
        await this.#latest;
      }
    } catch (cause) {
      this.#failure = { cause };
    }
    this.#writing = null;
  }
}
