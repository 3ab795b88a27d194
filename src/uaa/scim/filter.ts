import { UaaError } from '../errors.ts';

export type ScimOperator = 'eq' | 'co' | 'sw' | 'pr' | 'gt' | 'ge' | 'lt' | 'le';

/** A filter as a tree (RFC 7644 section 3.4.2.2). Attribute names are in lower case. */
export type ScimFilter =
  | { kind: 'and' | 'or'; terms: ScimFilter[] }
  | { kind: 'not'; term: ScimFilter }
  | { kind: 'present'; attribute: string }
  | { kind: 'compare'; attribute: string; operator: Exclude<ScimOperator, 'pr'>; value: string | boolean };

const MAX_LENGTH = 32_768;
const MAX_TERMS = 1_000;
const MAX_DEPTH = 32;

type Token = { kind: 'word'; text: string } | { kind: 'string'; text: string } | { kind: '(' } | { kind: ')' };

const TOKEN = /\s*(?:(\()|(\))|("(?:[^"\\]|\\.)*")|([A-Za-z][\w.:$-]*)|(\S))/gy;
const OPERATORS: ReadonlySet<string> = new Set(['eq', 'co', 'sw', 'gt', 'ge', 'lt', 'le']);

/**
 * Reads a filter; `and` binds tighter than `or`. Throws `invalid_filter`. What comes out holds the client's words
 * only as values: names of columns are chosen by the store (SECURITY: injection).
 */
export function parseScimFilter(text: string): ScimFilter {
  return new Parser(tokens(text)).whole();
}

function refuse(): never {
  throw new UaaError('invalid_filter', 'Invalid filter expression.');
}

function tokens(text: string): Token[] {
  if (text.length > MAX_LENGTH) throw new UaaError('invalid_filter', 'The filter expression is too long.');
  if (text.includes('\0')) refuse();
  const found: Token[] = [];
  for (const [, open, close, quoted, word, stray] of text.trim().matchAll(TOKEN)) {
    if (stray !== undefined) refuse();
    if (open) found.push({ kind: '(' });
    else if (close) found.push({ kind: ')' });
    else if (quoted !== undefined) found.push({ kind: 'string', text: unquoted(quoted) });
    else if (word !== undefined) found.push({ kind: 'word', text: word });
  }
  return found;
}

function unquoted(quoted: string): string {
  try {
    const value: unknown = JSON.parse(quoted);
    if (typeof value === 'string' && !value.includes('\0')) return value;
  } catch {
    // refused below: an escape that JSON does not know
  }
  return refuse();
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;
  #terms = 0;
  #depth = 0;

  constructor(list: readonly Token[]) {
    this.#tokens = list;
  }

  whole(): ScimFilter {
    const filter = this.#or();
    if (this.#at < this.#tokens.length) refuse();
    return filter;
  }

  #or(): ScimFilter {
    return this.#chain('or', () => this.#chain('and', () => this.#term()));
  }

  #chain(kind: 'and' | 'or', next: () => ScimFilter): ScimFilter {
    const terms = [next()];
    while (this.#takeWord(kind)) terms.push(next());
    return terms.length === 1 ? terms[0]! : { kind, terms };
  }

  #term(): ScimFilter {
    this.#terms += 1;
    if (this.#terms > MAX_TERMS) throw new UaaError('invalid_filter', 'The filter expression has too many terms.');
    if (this.#peek()?.kind === '(') return this.#parentheses();
    const word = this.#word();
    if (word.toLowerCase() === 'not' && this.#peek()?.kind === '(') {
      return { kind: 'not', term: this.#parentheses() };
    }
    const attribute = word.toLowerCase();
    const operator = this.#word().toLowerCase();
    if (operator === 'pr') return { kind: 'present', attribute };
    if (!isComparison(operator)) refuse();
    return { kind: 'compare', attribute, operator, value: this.#value() };
  }

  #parentheses(): ScimFilter {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw new UaaError('invalid_filter', 'The filter expression is nested too deeply.');
    this.#at += 1;
    const inner = this.#or();
    if (this.#peek()?.kind !== ')') refuse();
    this.#at += 1;
    this.#depth -= 1;
    return inner;
  }

  #value(): string | boolean {
    const token = this.#tokens[this.#at];
    this.#at += 1;
    if (token?.kind === 'string') return token.text;
    if (token?.kind === 'word' && /^true$/i.test(token.text)) return true;
    if (token?.kind === 'word' && /^false$/i.test(token.text)) return false;
    return refuse();
  }

  #word(): string {
    const token = this.#tokens[this.#at];
    this.#at += 1;
    return token?.kind === 'word' ? token.text : refuse();
  }

  #takeWord(text: string): boolean {
    const token = this.#peek();
    if (token?.kind !== 'word' || token.text.toLowerCase() !== text) return false;
    this.#at += 1;
    return true;
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at];
  }
}

function isComparison(word: string): word is Exclude<ScimOperator, 'pr'> {
  return OPERATORS.has(word);
}
