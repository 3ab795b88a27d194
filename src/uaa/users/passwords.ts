import * as native from '@node-rs/bcrypt';
import { UaaError } from '../errors.ts';
import { FairQueue } from './fair-queue.ts';

/** Bcrypt reads no further than this. */
const MAX_BYTES = 72;
/** Hashes at once: two of the four threads of libuv's pool, so that signing and file access go on. */
const LIMITS = { running: 2, waiting: 2_000, waitingPerCaller: 20 };
/** Of those who have shown who they are: a script that makes users. */
const KNOWN_WAITING = 200;

/** For whom a password is looked at: turns are counted by address, and end with the connection. */
export interface Asker {
  readonly address: string;
  /** Aborts when nobody waits for the answer any more. */
  readonly gone?: AbortSignal;
}

/** Whose turn it is where a caller has shown who they are, and for what the platform does by itself. */
export const KNOWN_CALLER: Asker = { address: '' };

export interface Bcrypt {
  hash(password: string, options: { cost: number }): Promise<string>;
  verify(password: string, stored: string): Promise<boolean>;
}

/**
 * Passwords and client secrets exist only as bcrypt hashes (UAA-05). The work is done in the thread pool, a few at
 * once, by turns of those who ask for it; a flood of logins is refused with 429 rather than remembered without end.
 */
export class Passwords {
  readonly #cost: number;
  readonly #bcrypt: Bcrypt;
  readonly #turns = new FairQueue(LIMITS);
  readonly #decoy: Promise<string>;
  /** Whose turn it is now. */
  readonly #having = new WeakSet<Asker>();

  constructor(cost: number, bcrypt: Bcrypt = native) {
    this.#cost = cost;
    this.#bcrypt = bcrypt;
    this.#decoy = bcrypt.hash('a password that nobody has', { cost });
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
    const { address } = KNOWN_CALLER;
    const work = () => this.#bcrypt.hash(password, { cost: this.#cost });
    return this.#turns.take(address, work, { mostWaiting: KNOWN_WAITING });
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#turns.waiting;
  }

  /**
   * All of the work for somebody in one turn of theirs, with the questions to the database: who waits costs nothing yet. The
   * checks inside are asked for by the asker that `work` gets. Throws `too_many_requests`; `temporarily_unavailable` once gone.
   */
  async inTurn<T>({ address, gone }: Asker, work: (asker: Asker) => Promise<T>): Promise<T> {
    return this.#turns.take(
      address,
      async () => {
        const asker: Asker = { address };
        this.#having.add(asker);
        try {
          return await work(asker);
        } finally {
          this.#having.delete(asker);
        }
      },
      { gone },
    );
  }

  /** Costs the same whether there is a hash to compare with or not, so the time tells nobody who exists. */
  async verify(password: string, stored: string | null, asker: Asker): Promise<boolean> {
    const against = stored ?? (await this.#decoy);
    const work = () => this.#bcrypt.verify(password, against);
    const same = this.#having.has(asker)
      ? await work()
      : await this.#turns.take(asker.address, work, { gone: asker.gone });
    return same && stored !== null && Passwords.unfit(password) === null;
  }
}
