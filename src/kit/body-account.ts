import { HttpRefusal } from './refusal.ts';

export interface BodyLimits {
  /** Bodies that are read or worked on at the same time, of all callers and of one. */
  bodies: number;
  bodiesPerCaller: number;
  /** What those hold together. */
  bytes: number;
  bytesPerCaller: number;
  /** So much of one caller counts for them alone: a small body passes whatever others hold. Nothing unless told. */
  bodiesAlways?: number;
  bytesAlways?: number;
}

/** What is held now. */
export interface HeldBodies {
  bodies: number;
  bytes: number;
}

/** One body's part in the account. */
export interface Entry {
  /**
   * Throws `overloaded` or `too_many_bodies` where there is no room for these bytes, from then on always. Who is refused drops what there
   * is of the body: it counts no more, so that of many that grow together some are read.
   */
  add(bytes: number): void;
}

/** An answer, or the stream that carries it: a body counts until it is closed. */
interface Answer {
  readonly closed: boolean;
  once(event: 'close', listener: () => void): unknown;
}

/** Keeps account of the bodies of a listener's requests: in number and bytes, of all callers together and of each. */
export class BodyAccount {
  readonly #limits: BodyLimits;
  readonly #all: HeldBodies = { bodies: 0, bytes: 0 };
  readonly #callers = new Map<string, HeldBodies>();

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /** What is held now, of all callers. */
  get held(): Readonly<HeldBodies> {
    return this.#all;
  }

  /** Throws `overloaded` or `too_many_bodies` where there is no room for one more. */
  enter(answer: Answer, caller: string): Entry {
    const { bodies, bodiesPerCaller, bodiesAlways = 0, bytes, bytesPerCaller, bytesAlways = 0 } = this.#limits;
    const own = this.#callers.get(caller) ?? { bodies: 0, bytes: 0 };
    if (own.bodies >= bodiesPerCaller) throw tooMany();
    if (this.#all.bodies >= bodies && own.bodies >= bodiesAlways) throw overloaded();
    this.#callers.set(caller, own);
    own.bodies += 1;
    this.#all.bodies += 1;
    let held = 0;
    let left = false;
    let refusal: HttpRefusal | null = null;
    const drop = (): void => {
      own.bytes -= held;
      this.#all.bytes -= held;
      held = 0;
    };
    const leave = (): void => {
      if (left) return;
      left = true;
      drop();
      own.bodies -= 1;
      this.#all.bodies -= 1;
      if (own.bodies === 0 && this.#callers.get(caller) === own) this.#callers.delete(caller);
    };
    answer.once('close', leave);
    if (answer.closed) leave();
    return {
      add: (more) => {
        if (left) return;
        if (own.bytes + more > bytesPerCaller) refusal ??= tooMany();
        else if (this.#all.bytes + more > bytes && own.bytes + more > bytesAlways) refusal ??= overloaded();
        if (refusal) {
          drop();
          throw refusal;
        }
        held += more;
        own.bytes += more;
        this.#all.bytes += more;
      },
    };
  }
}

function tooMany(): HttpRefusal {
  return new HttpRefusal('too_many_bodies', 'too many requests with bodies at the same time; wait for some to end');
}

export function overloaded(): HttpRefusal {
  return new HttpRefusal('overloaded', 'too many requests with bodies at the moment; try again soon');
}
