import { Readable } from 'node:stream';
import type { Answer, Operation } from './operation.ts';
import { SchemaCheck } from './schema-check.ts';

/** Holds what operations answer against what they declare: nothing less, and nothing more. */
export class AnswerCheck {
  readonly #schemas = new SchemaCheck();

  /** Throws where an operation answers what it does not declare. */
  check({ id, answers }: Operation, answer: Answer): void {
    const { status, body } = answer;
    const schema = answers[status];
    if (schema === undefined) throw new Error(`${id} answers ${status}, which it does not declare`);
    if (body instanceof Readable || answer.text !== undefined) return;
    if (schema === null) {
      if (body !== undefined) throw new Error(`${id} answers ${status} with a body, and declares none`);
      return;
    }
    const problem = this.#schemas.problemOf(schema, body);
    if (problem !== null) throw new Error(`${id} answers ${status} otherwise than it declares: ${problem}`);
  }
}
