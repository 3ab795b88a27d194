import { coloured } from './colour.ts';

/** Numbered steps for a person: "[3/8] Building the stack", what each comes to, and on a terminal what is done just now. */
export class Progress {
  readonly #steps: number;
  readonly #shown: boolean;
  readonly #terminal: boolean;
  #step = 0;
  #detail = false;

  constructor(steps: number, shown: boolean) {
    this.#steps = steps;
    this.#shown = shown;
    this.#terminal = process.stdout.isTTY === true;
  }

  step(text: string): void {
    this.#step++;
    if (!this.#shown) return;
    this.#clear();
    process.stdout.write(`${coloured('bold', `[${this.#step}/${this.#steps}]`)} ${text}\n`);
  }

  /** A part of the step, in a line that stays, for a terminal and for a file. */
  part = (text: string): void => {
    if (!this.#shown) return;
    this.#clear();
    process.stdout.write(`      ${text}\n`);
  };

  /** One passing line, overwritten by the next. */
  detail = (text: string): void => {
    if (!this.#shown || !this.#terminal) return;
    this.#clear();
    process.stdout.write(`      ${text}`.slice(0, (process.stdout.columns ?? 80) - 1));
    this.#detail = true;
  };

  done(): void {
    this.#clear();
  }

  #clear(): void {
    if (this.#detail) process.stdout.write('\r\u001b[K');
    this.#detail = false;
  }
}
