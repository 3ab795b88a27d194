import { UaaError } from '../errors.ts';

/**
 * A body of application/x-www-form-urlencoded, or a query. RFC 6749 section 3.2: no parameter comes twice, so a
 * second `scope` (or `scope[]`) is refused rather than joined to the first.
 */
export class Form {
  readonly #values: ReadonlyMap<string, string>;

  constructor(text: string) {
    const values = new Map<string, string>();
    for (const [name, value] of new URLSearchParams(text)) {
      if (values.has(name)) throw new UaaError('invalid_request', 'A request parameter was given more than once.');
      if (/[[\]]/.test(name)) throw new UaaError('invalid_request', 'A request parameter has a malformed name.');
      if (value.includes('\0'))
        throw new UaaError('invalid_request', 'A request parameter holds a forbidden character.');
      values.set(name, value);
    }
    this.#values = values;
  }

  get(name: string): string | null {
    return this.#values.get(name) ?? null;
  }

  /** Throws `invalid_request` where it is missing or empty. */
  require(name: string): string {
    const value = this.#values.get(name);
    if (!value) throw new UaaError('invalid_request', `Missing parameter: ${name}`);
    return value;
  }

  /** These parameters and no others. */
  only(names: readonly string[]): Form {
    return new Form(new URLSearchParams([...this.#values].filter(([name]) => names.includes(name))).toString());
  }

  /** These parameters laid over others, e.g. a body over the query. The same name in both is refused. */
  over(other: Form): Form {
    const joined = new URLSearchParams([...other.#values, ...this.#values]);
    return new Form(joined.toString());
  }
}
