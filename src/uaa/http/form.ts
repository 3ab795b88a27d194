import { isCleanText } from '../../kit/json.ts';
import { UaaError } from '../errors.ts';

/** Far more than any request has. */
const MAX_FIELDS = 50;

/**
 * A body of application/x-www-form-urlencoded, or a query. RFC 6749 section 3.2: no parameter comes twice, so a
 * second `scope` (or `scope[]`) is refused rather than joined to the first.
 */
export class Form {
  readonly #values: ReadonlyMap<string, string>;

  constructor(text: string | ReadonlyMap<string, string>) {
    this.#values = typeof text === 'string' ? parsed(text) : text;
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

  names(): string[] {
    return [...this.#values.keys()];
  }

  /** These parameters laid over others, e.g. a body over the query. The same name in both is refused. */
  over(other: Form): Form {
    for (const name of this.#values.keys())
      if (other.#values.has(name)) refuse('A request parameter was given more than once.');
    return new Form(new Map([...other.#values, ...this.#values]));
  }
}

/** Counted before any of it is decoded: anybody may send a form. */
function parsed(text: string): ReadonlyMap<string, string> {
  if (fieldsIn(text) > MAX_FIELDS) refuse('There are too many request parameters.');
  const values = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(text)) {
    if (values.has(name)) refuse('A request parameter was given more than once.');
    if (/[[\]]/.test(name)) refuse('A request parameter has a malformed name.');
    if (!isCleanText(value) || !isCleanText(name)) refuse('A request parameter holds a forbidden character.');
    values.set(name, value);
  }
  return values;
}

function fieldsIn(text: string): number {
  let fields = 1;
  for (let at = text.indexOf('&'); at !== -1 && fields <= MAX_FIELDS; at = text.indexOf('&', at + 1)) fields++;
  return fields;
}

function refuse(sentence: string): never {
  throw new UaaError('invalid_request', sentence);
}
