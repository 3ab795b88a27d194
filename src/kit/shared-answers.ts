import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * Answers to questions that many ask at the same time. Who asks while the same question is under way waits for the next one,
 * which all share who came meanwhile: an answer never tells of a time before it was asked for.
 * A question that several share is nobody's: it counts for none of them.
 */
export class SharedAnswers<Key, Answer> {
  readonly #ask: (key: Key) => Promise<Answer>;
  readonly #running = new Map<Key, Promise<Answer>>();
  readonly #next = new Map<Key, Promise<Answer>>();
  readonly #outside = AsyncLocalStorage.snapshot();

  constructor(ask: (key: Key) => Promise<Answer>) {
    this.#ask = ask;
  }

  of(key: Key): Promise<Answer> {
    const running = this.#running.get(key);
    if (!running) return this.#begin(key);
    const waiting = this.#next.get(key);
    if (waiting) return waiting;
    const begin = (): Promise<Answer> => {
      this.#next.delete(key);
      return this.#begin(key);
    };
    const next = running.then(begin, begin);
    this.#next.set(key, next);
    return next;
  }

  #begin(key: Key): Promise<Answer> {
    const answer = this.#outside(() => this.#ask(key)).finally(() => {
      if (this.#running.get(key) === answer) this.#running.delete(key);
    });
    this.#running.set(key, answer);
    return answer;
  }
}
