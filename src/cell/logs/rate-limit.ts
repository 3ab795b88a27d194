/** Bytes an instance may log in each second. -1: as many as it likes; 0: none at all. */
export class LogRateLimit {
  readonly #bytesPerSecond: number;
  #second = 0;
  #used = 0;
  #told = false;
  #measuredSecond = 0;
  #measuredBytes = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond;
  }

  /**
   * "send", or "drop"; the first line dropped in a second is answered with "tell", so that the developer is told once
   * and not for every line.
   */
  admit(bytes: number, nowMs: number): 'send' | 'drop' | 'tell' {
    this.#advance(nowMs);
    if (this.#bytesPerSecond < 0 || this.#used + bytes <= this.#bytesPerSecond) {
      this.#used += bytes;
      return 'send';
    }
    if (this.#told) return 'drop';
    this.#told = true;
    return 'tell';
  }

  /** Bytes sent in the last whole second. */
  rate(nowMs: number): number {
    this.#advance(nowMs);
    return this.#second - this.#measuredSecond <= 1 ? this.#measuredBytes : 0;
  }

  get message(): string {
    return `app instance exceeded log rate limit (${this.#bytesPerSecond} bytes/sec)`;
  }

  #advance(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    if (second === this.#second) return;
    this.#measuredSecond = this.#second;
    this.#measuredBytes = this.#used;
    this.#second = second;
    this.#used = 0;
    this.#told = false;
  }
}
