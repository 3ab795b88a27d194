import { AsyncLocalStorage } from 'node:async_hooks';
import { HttpRefusal } from './refusal.ts';

export interface AnswerLimits {
  /** What the answers hold that wait to be sent, of all callers and of one. */
  bytes: number;
  bytesPerCaller: number;
  /** So much of one caller counts for them alone: a small answer passes whatever others hold. */
  bytesAlways: number;
  /** What one answer is made of, and what it is on the wire. */
  bytesRead: number;
  bytesSent: number;
}

const ANSWER_LIMITS: AnswerLimits = {
  bytes: 256 * 1024 ** 2,
  bytesPerCaller: 64 * 1024 ** 2,
  bytesAlways: 1024 ** 2,
  bytesRead: 16 * 1024 ** 2,
  bytesSent: 32 * 1024 ** 2,
};

/** One answer's part in the account. It counts until its client has taken it, or is gone. */
export interface AnswerEntry {
  /** What was read for it, in bytes. Throws `answer_too_large`, `too_many_answers`, `overloaded`. */
  read(bytes: number): void;
  /** What of it was written for the wire. Throws as `read` does. */
  write(bytes: number): void;
  /** All of it is written: what it was made of is let go. */
  written(): void;
}

interface Response {
  readonly closed: boolean;
  once(event: 'close', listener: () => void): unknown;
}

/**
 * Keeps account of the answers of a listener that are made or wait to be sent, of all callers together and of each: the
 * counterpart of the account of bodies. Who makes many at once and reads none is refused before more is read for them.
 */
export class AnswerAccount {
  readonly #limits: AnswerLimits;
  readonly #callers = new Map<string, { bytes: number; answers: number }>();
  #bytes = 0;

  constructor(limits: AnswerLimits = ANSWER_LIMITS) {
    this.#limits = limits;
  }

  /** What is held now, of all callers. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Throws `too_many_answers` where the caller has no room for any more. What is read for something that `goesOn` is counted and
   * never refused, nor ended when its client is gone: a change that is half done would be worse.
   */
  enter(response: Response, caller: string, goesOn = false): AnswerEntry {
    const limits = this.#limits;
    const own = this.#callers.get(caller) ?? { bytes: 0, answers: 0 };
    if (own.bytes >= limits.bytesPerCaller) throw tooMany();
    this.#callers.set(caller, own);
    own.answers += 1;
    const held = { read: 0, written: 0 };
    let left = false;
    const count = (part: keyof typeof held, bytes: number): void => {
      held[part] += bytes;
      own.bytes += bytes;
      this.#bytes += bytes;
    };
    const add = (part: keyof typeof held, bytes: number, most: number): void => {
      if (left) throw new HttpRefusal('overloaded', 'the connection ended before the answer');
      if (held[part] + bytes > most) throw tooLarge(most);
      if (own.bytes + bytes > limits.bytesPerCaller) throw tooMany();
      if (this.#bytes + bytes > limits.bytes && own.bytes + bytes > limits.bytesAlways) throw overloaded();
      count(part, bytes);
    };
    const leave = (): void => {
      if (left) return;
      left = true;
      count('read', -held.read);
      count('written', -held.written);
      own.answers -= 1;
      if (own.answers === 0 && this.#callers.get(caller) === own) this.#callers.delete(caller);
    };
    response.once('close', leave);
    if (response.closed) leave();
    return {
      read: (bytes) => {
        if (!goesOn) add('read', bytes, limits.bytesRead);
        else if (!left) count('read', bytes);
      },
      write: (bytes) => add('written', bytes, limits.bytesSent),
      written: () => count('read', -held.read),
    };
  }
}

const current = new AsyncLocalStorage<AnswerEntry>();

/** Runs `body`, and what it reads from a database or counts with `countRead` goes to this answer. */
export function forAnswer<T>(entry: AnswerEntry, body: () => Promise<T>): Promise<T> {
  return current.run(entry, body);
}

/**
 * Enters into the account of the answer that it is for what is read or made elsewhere than in a database (`counted-client.ts`);
 * work that answers nobody is not counted. Throws as the entry does.
 */
export function countRead(value: unknown): void {
  readCounter()?.(value);
}

/**
 * What counts for the answer that is made here, wherever it is called: a value, and bytes beside what it holds. Null where this
 * is for nobody.
 */
export function readCounter(): ((value: unknown, beside?: number) => void) | null {
  const entry = current.getStore();
  return entry ? (value, beside = 0) => entry.read(weightOf(value) + beside) : null;
}

/** About the bytes of a value in memory. */
function weightOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  if (value instanceof Date) return 24;
  if (value instanceof Uint8Array) return value.byteLength;
  let weight = 16;
  if (Array.isArray(value)) for (const item of value) weight += weightOf(item);
  else for (const [name, item] of Object.entries(value)) weight += name.length + weightOf(item);
  return weight;
}

function tooLarge(most: number): HttpRefusal {
  const mib = Math.floor(most / 1024 ** 2);
  return new HttpRefusal(
    'answer_too_large',
    `the answer would be larger than ${mib} MiB; ask for fewer results per page, or for less at once`,
  );
}

function tooMany(): HttpRefusal {
  return new HttpRefusal('too_many_answers', 'too many answers wait to be read; read some of them first');
}

function overloaded(): HttpRefusal {
  return new HttpRefusal('overloaded', 'too many answers wait to be read at the moment; try again soon');
}
