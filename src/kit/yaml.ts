import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isCollection,
  isNode,
  isPair,
  isScalar,
  Lexer,
  Parser,
  type Scalar,
  visit,
  type YAMLMap,
} from 'yaml';
import { isCleanText } from './json.ts';
import { inSteps, inTurns } from './turns.ts';

/** What a document may cost to read: six thousand lines of a manifest are some 60,000 lexemes. */
export const YAML_LIMITS = {
  bytes: 1024 * 1024,
  smallBytes: 64 * 1024,
  /** All may be those of one text, which the library makes at once. */
  lines: 60_000,
  depth: 32,
  lexemes: 60_000,
  nodes: 50_000,
  aliases: 200,
  /** Of texts, once aliases are what they stand for. */
  expandedBytes: 4 * 1024 * 1024,
} as const;

export class YamlRefusedError extends Error {
  override readonly name = 'YamlRefusedError';
}

/**
 * Reads one YAML document with bounds on size, depth and alias expansion (SECURITY-TESTS 25). Gives plain data of
 * objects without prototype tricks, arrays, strings, numbers, booleans and null. A number that would not be written the same
 * again (12345678901234567890, 1.0, 0123, 1e3) is given as the text that stands there. Others have their turns while it is
 * taken apart; what is left to do at once is bounded by the number of lexemes. Throws YamlRefusedError.
 */
export async function readBoundedYaml(text: string): Promise<unknown> {
  checkText(text, YAML_LIMITS.bytes);
  const reader = new TokenReader();
  for await (const lexeme of inTurns(new Lexer().lex(text))) reader.push(lexeme);
  return inSteps(read(reader.end()));
}

/** The same at once, for texts of at most 64 KiB. Throws YamlRefusedError. */
export function readSmallYaml(text: string): unknown {
  checkText(text, YAML_LIMITS.smallBytes);
  const reader = new TokenReader();
  for (const lexeme of new Lexer().lex(text)) reader.push(lexeme);
  const steps = read(reader.end());
  let step = steps.next();
  while (!step.done) step = steps.next();
  return step.value;
}

function checkText(text: string, bytes: number): void {
  if (Buffer.byteLength(text) > bytes) throw new YamlRefusedError(`the document is larger than ${bytes / 1024} KiB`);
  if (lineBreaks(text) > YAML_LIMITS.lines) throw new YamlRefusedError('the document has too many lines');
  if (flowDepth(text) > YAML_LIMITS.depth * 2) throw new YamlRefusedError('the document is nested too deeply');
}

/** In steps, between which others may have their turn. */
function* read(tokens: readonly CST.Token[]): Generator<void, unknown> {
  const [document, second] = compose(tokens);
  if (!document) return null;
  if (second) throw new YamlRefusedError('only one document is allowed');
  if (document.errors.length > 0) throw new YamlRefusedError('the document is not valid YAML');
  yield;
  let aliases = 0;
  visit(document, {
    Alias: () => {
      aliases += 1;
    },
    Scalar: (place, node) => keepAsWritten(place === 'key', node),
  });
  if (aliases > YAML_LIMITS.aliases) throw new YamlRefusedError('the document has too many aliases');
  if (hasForbiddenText(document)) throw new YamlRefusedError('the document holds a forbidden character');
  visit(document, { Map: (_, map) => checkNames(map) });
  yield;
  checkExpansion(document);
  yield;
  const plain = toPlain(() => document.toJS({ maxAliasCount: 100 }));
  yield;
  return copied(plain);
}

/** What becomes text in the end, such as an environment variable, must not go through a number that loses digits. */
function keepAsWritten(isKey: boolean, node: Scalar): void {
  if (node.source === undefined || String(node.value) === node.source) return;
  const isNumber = typeof node.value === 'number';
  // A name is text whatever it looks like: TRUE, ~.
  if (isNumber || (isKey && (typeof node.value === 'boolean' || node.value === null))) node.value = node.source;
}

function hasForbiddenText(document: Parameters<typeof visit>[0]): boolean {
  let forbidden = false;
  visit(document, {
    Scalar: (_, { value }) => {
      if (typeof value === 'string' && !isCleanText(value)) forbidden = true;
    },
  });
  return forbidden;
}

/** The concrete syntax, whose parser keeps its own stack; depth is measured here, before anything recursive runs. */
class TokenReader {
  readonly #parser = new Parser();
  readonly #tokens: CST.Token[] = [];
  #count = 0;

  push(lexeme: string): void {
    this.#count += 1;
    if (this.#count > YAML_LIMITS.lexemes) throw new YamlRefusedError('the document has too many nodes');
    if (lexeme.startsWith('"') && hasWrongEscape(lexeme)) throw new YamlRefusedError('the document is not valid YAML');
    this.#tokens.push(...this.#parser.next(lexeme));
  }

  end(): readonly CST.Token[] {
    this.#tokens.push(...this.#parser.end());
    for (const token of this.#tokens) checkDepth(token);
    return this.#tokens;
  }
}

/** Each escape of a text in double quotes; what is wrong with one stands in the group. */
const ESCAPE = /\\(?:[0abtnvfre "/\\N_LP\t\r\n]|x[\da-f]{2}|u[\da-f]{4}|U(?:0010|000[\da-f])[\da-f]{4}|(.))/gis;

/** The library would make an error of each, with its place in the text. */
function hasWrongEscape(quoted: string): boolean {
  ESCAPE.lastIndex = 0;
  for (let found = ESCAPE.exec(quoted); found; found = ESCAPE.exec(quoted)) {
    if (found[1] !== undefined) return true;
  }
  return false;
}

function checkDepth(token: CST.Token): void {
  const open: { token: CST.Token | null | undefined; depth: number }[] = [{ token, depth: 0 }];
  for (let next = open.pop(); next; next = open.pop()) {
    if (!next.token) continue;
    if (next.depth > YAML_LIMITS.depth + 1) throw new YamlRefusedError('the document is nested too deeply');
    const depth = next.depth + 1;
    if (next.token.type === 'document') open.push({ token: next.token.value, depth });
    if ('items' in next.token) {
      for (const item of next.token.items) {
        open.push({ token: item.key, depth }, { token: item.value, depth });
      }
    }
  }
}

/** The library's own search for names that come twice compares each with all before it: `checkNames` does it instead. */
function compose(tokens: readonly CST.Token[]): Document[] {
  const { stackTraceLimit } = Error;
  // Every fault becomes an error, of which only the number counts: their stacks would take longer than all the rest.
  Error.stackTraceLimit = 0;
  try {
    return [...new Composer({ merge: true, uniqueKeys: false, strict: true }).compose(tokens)];
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** No name twice in a map, as it will be read (1 and "1" are one name), and none that plays with prototypes. */
function checkNames({ items }: YAMLMap): void {
  const names = new Set<string>();
  for (const { key } of items) {
    // A merge key is a symbol of its own: there may be several.
    if (!isScalar(key) || typeof key.value === 'symbol') continue;
    const name = String(key.value);
    if (name === '__proto__') throw new YamlRefusedError('the document holds a forbidden name');
    if (names.has(name)) throw new YamlRefusedError('the document is not valid YAML: a map has a key twice');
    names.add(name);
  }
}

interface Size {
  nodes: number;
  bytes: number;
}

/** How much a document becomes once aliases are what they stand for, counted before any of it is made. */
function checkExpansion(document: Document): void {
  const anchors = new Map<string, Size>();
  const sizeOf = (node: unknown): Size => {
    if (isAlias(node)) return anchors.get(node.source) ?? { nodes: 1, bytes: 0 };
    const size: Size = { nodes: isPair(node) ? 0 : 1, bytes: 0 };
    const parts = isPair(node) ? [node.key, node.value] : isCollection(node) ? node.items : [];
    for (const part of parts) {
      const { nodes, bytes } = sizeOf(part);
      size.nodes += nodes;
      size.bytes += bytes;
    }
    if (isScalar(node) && typeof node.value === 'string') size.bytes = node.value.length;
    if (size.nodes > YAML_LIMITS.nodes || size.bytes > YAML_LIMITS.expandedBytes) {
      throw new YamlRefusedError('the document expands to more than is allowed');
    }
    if (isNode(node) && !isAlias(node) && node.anchor) anchors.set(node.anchor, size);
    return size;
  };
  sizeOf(document.contents);
}

/** An upper bound of how deep brackets nest; cheap, so that the parser never sees half a million of them. */
function flowDepth(text: string): number {
  let depth = 0;
  let deepest = 0;
  let compact = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === '[' || char === '{') depth += 1;
    else if (char === ']' || char === '}') depth = Math.max(0, depth - 1);
    // "- - - -" and "? ? ? ?" nest with two characters a level.
    if ((char === '-' || char === '?') && (text[at + 1] === ' ' || text[at + 1] === '\t')) compact += 1;
    else if (char !== ' ' && char !== '\t') compact = 0;
    deepest = Math.max(deepest, depth, compact);
  }
  return deepest;
}

function lineBreaks(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}

function toPlain(read: () => unknown): unknown {
  try {
    return read();
  } catch {
    throw new YamlRefusedError('the document expands to more than is allowed');
  }
}

/** Copies, so that what aliases share is nobody else's. */
function copied(value: unknown, depth = 0): unknown {
  if (depth > YAML_LIMITS.depth) throw new YamlRefusedError('the document is nested too deeply');
  if (Array.isArray(value)) return value.map((item) => copied(item, depth + 1));
  if (value instanceof Date) return value.toISOString();
  if (typeof value === 'bigint') return value.toString();
  if (value === null || typeof value !== 'object') return value;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return Object.fromEntries(
    entries
      .filter(([name]) => String(name) !== '__proto__')
      .map(([name, item]) => [String(name), copied(item, depth + 1)]),
  );
}
