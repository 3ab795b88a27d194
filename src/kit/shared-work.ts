/** Work that some wait for. It is given up once none of them does any more, and rejects with the reason why. */
export class SharedWork<T> {
  readonly #ending = new AbortController();
  readonly #done: Promise<T>;
  #waiting = 0;

  /** Begins it. `work` rejects soon after its signal aborts, and leaves nothing under way. */
  constructor(work: (signal: AbortSignal) => Promise<T>) {
    this.#done = work(this.#ending.signal);
    this.#done.catch(() => {}); // told to whoever waits
  }

  /** Whether it is ending, or has ended, since nobody waited for it. */
  get isGivenUp(): boolean {
    return this.#ending.signal.aborted;
  }

  /** What it gives. Rejects as soon as `signal` aborts, with its reason. */
  async wait(signal?: AbortSignal): Promise<T> {
    const left = Promise.withResolvers<never>();
    const leave = (): void => left.reject(signal?.reason);
    this.#waiting += 1;
    signal?.addEventListener('abort', leave, { once: true });
    if (signal?.aborted) leave();
    try {
      return await Promise.race([left.promise, this.#done]);
    } finally {
      signal?.removeEventListener('abort', leave);
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#ending.abort();
    }
  }

  /** Resolves when nothing of it is under way. */
  async settled(): Promise<void> {
    await this.#done.catch(() => {});
  }
}
