import type { Logger } from '../kit/log.ts';
import type { Grant } from './login.ts';

/** Of the places, what one user has at most, and what one app has. */
const SHARE = 0.3;
/** Between two log lines about who was refused. */
const SAY_MS = 10_000;

type Holder = Pick<Grant, 'userGuid' | 'owner'>;

export interface Place {
  /** Once. */
  leave: () => void;
}

/** Places for connections or sessions. No user, with however many apps, and no app, with however many users, has them all. */
export class Places {
  readonly #total: number;
  /** What a place is for, as the refused are told. */
  readonly #what: string;
  readonly #most: number;
  readonly #log: Logger;
  readonly #users = new Map<string, number>();
  readonly #apps = new Map<string, number>();
  #taken = 0;
  #refused = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(total: number, what: string, log: Logger) {
    this.#total = total;
    this.#what = what;
    this.#most = Math.max(1, Math.floor(total * SHARE));
    this.#log = log;
  }

  /** A place, or what to tell whom there is none for. */
  take({ userGuid, owner: { appGuid } }: Holder): Place | { full: string } {
    const full = this.#full(userGuid, appGuid);
    if (full !== null) {
      this.#count(full, userGuid, appGuid);
      return { full };
    }
    this.#add(userGuid, appGuid, 1);
    return { leave: () => this.#add(userGuid, appGuid, -1) };
  }

  #full(userGuid: string, appGuid: string): string | null {
    const what = this.#what;
    if ((this.#users.get(userGuid) ?? 0) >= this.#most) {
      return `You have ${this.#most} ${what}, as many as one user may have. End one and try again.`;
    }
    if ((this.#apps.get(appGuid) ?? 0) >= this.#most) {
      return `This app has ${this.#most} ${what}, as many as one app may have. Try again when one has ended.`;
    }
    if (this.#taken < this.#total) return null;
    return `The platform has ${this.#total} ${what}, as many as it takes. Try again when one has ended.`;
  }

  #add(userGuid: string, appGuid: string, more: number): void {
    this.#taken += more;
    add(this.#users, userGuid, more);
    add(this.#apps, appGuid, more);
  }

  /** Whoever is refused tries again: one line for many. */
  #count(full: string, userGuid: string, appGuid: string): void {
    this.#refused += 1;
    this.#timer ??= setTimeout(() => {
      this.#log.warn(`${this.#what} were refused`, { count: this.#refused, last: { full, userGuid, appGuid } });
      this.#refused = 0;
      this.#timer = undefined;
    }, SAY_MS).unref();
  }
}

function add(counts: Map<string, number>, key: string, more: number): void {
  const count = (counts.get(key) ?? 0) + more;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}
