/** What waits to be written at most before whoever adds has to wait. */
const MOST_BYTES = 512 * 1024;

/**
 * Writes what is added, one write at a time. What comes during a write is written together by the next one: a slow source has each
 * chunk written as it comes, and a fast one is spared a turn for each.
 */
export class PartWriter {
  readonly #write: (parts: readonly Buffer[], bytes: number) => Promise<void>;
  #parts: Buffer[] = [];
  #bytes = 0;
  #writing: Promise<void> | null = null;
  #failure: { cause: unknown } | null = null;

  constructor(write: (parts: readonly Buffer[], bytes: number) => Promise<void>) {
    this.#write = write;
  }

  /** Resolves once more may be added. Rejects with what a write failed with; nothing is written after that. */
  async add(chunk: Buffer): Promise<void> {
    if (this.#failure) throw this.#failure.cause;
    this.#parts.push(chunk);
    this.#bytes += chunk.length;
    this.#writing ??= this.#run();
    if (this.#bytes >= MOST_BYTES) await this.settled();
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
        await this.#write(parts, bytes);
      }
    } catch (cause) {
      this.#failure = { cause };
    }
    this.#writing = null;
  }
}
