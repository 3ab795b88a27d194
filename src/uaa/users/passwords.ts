import { hash, verify } from '@node-rs/bcrypt';
import { UaaError } from '../errors.ts';

/** Bcrypt reads no further than this. */
const MAX_BYTES = 72;
/** Hashes at once: two of the four threads of libuv's pool, so that signing and file access go on. */
const CONCURRENCY = 2;
const MAX_WAITING = 500;

/**
 * Passwords and client secrets exist only as bcrypt hashes (UAA-05). The work is done in the thread pool, a few at
 * once; a flood of logins is refused with 429 rather than remembered without end.
 */
export class Passwords {
  readonly #cost: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #decoy: Promise<string>;

  constructor(cost: number) {
    this.#cost = cost;
    this.#decoy = hash('a password that nobody has', { cost });
  }

  /** What bcrypt would cut off or cannot hold is refused, not cut. Null where the text is fit. */
  static unfit(password: string): string | null {
    if (Buffer.byteLength(password) > MAX_BYTES) return `Password must be no more than ${MAX_BYTES} bytes in length.`;
    if (password.includes('\0')) return 'Password must not contain the character NUL.';
    return null;
  }

  /** Throws `weak_password` for what `unfit` names. */
  async hash(password: string): Promise<string> {
    const unfit = Passwords.unfit(password);
    if (unfit) throw new UaaError('weak_password', unfit);
    return this.#queued(() => hash(password, { cost: this.#cost }));
  }

  /** Costs the same whether there is a hash to compare with or not, so the time tells nobody who exists. */
  async verify(password: string, stored: string | null): Promise<boolean> {
    const against = stored ?? (await this.#decoy);
    const same = await this.#queued(() => verify(password, against));
    return same && stored !== null && Passwords.unfit(password) === null;
  }

  async #queued<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= CONCURRENCY) {
      if (this.#waiting.length >= MAX_WAITING) {
        throw new UaaError('too_many_requests', 'Too many logins are under way. Try again shortly.');
      }
      // Whoever ends hands its place over, so `#running` stays as it is.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }
}
