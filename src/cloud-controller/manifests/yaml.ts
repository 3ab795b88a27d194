import { Composer, type CST, isAlias, Parser, visit } from 'yaml';

/** What a manifest may cost to read. A manifest of a hundred apps stays far below. */
export const YAML_LIMITS = { bytes: 1024 * 1024, depth: 32, tokens: 200_000, nodes: 50_000, aliases: 200 } as const;

export class YamlRefusedError extends Error {
  override readonly name = 'YamlRefusedError';
}

/**
 * Reads one YAML document with bounds on size, depth and alias expansion (SECURITY-TESTS 25). Gives plain data of
 * objects without prototype tricks, arrays, strings, numbers, booleans and null. Throws YamlRefusedError.
 */
export function readBoundedYaml(text: string): unknown {
  if (Buffer.byteLength(text) > YAML_LIMITS.bytes) throw new YamlRefusedError('the document is larger than 1 MB');
  if (flowDepth(text) > YAML_LIMITS.depth * 2) throw new YamlRefusedError('the document is nested too deeply');
  const tokens = readTokens(text);
  const documents = [...new Composer({ merge: true, uniqueKeys: true, strict: true }).compose(tokens)];
  const [document, second] = documents;
  if (!document) return null;
  if (second) throw new YamlRefusedError('only one document is allowed');
  if (document.errors.length > 0) throw new YamlRefusedError('the document is not valid YAML');
  let aliases = 0;
  visit(document, (_, node) => {
    if (isAlias(node)) aliases += 1;
  });
  if (aliases > YAML_LIMITS.aliases) throw new YamlRefusedError('the document has too many aliases');
  return copyBounded(toPlain(() => document.toJS({ maxAliasCount: 100 })));
}

/** The concrete syntax, whose parser keeps its own stack; depth is measured here, before anything recursive runs. */
function readTokens(text: string): CST.Token[] {
  const tokens: CST.Token[] = [];
  let count = 0;
  for (const token of new Parser().parse(text)) {
    tokens.push(token);
    const open: { token: CST.Token | null | undefined; depth: number }[] = [{ token, depth: 0 }];
    for (let next = open.pop(); next; next = open.pop()) {
      if (!next.token) continue;
      count += 1;
      if (count > YAML_LIMITS.tokens) throw new YamlRefusedError('the document has too many nodes');
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
  return tokens;
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

function toPlain(read: () => unknown): unknown {
  try {
    return read();
  } catch {
    throw new YamlRefusedError('the document expands to more than is allowed');
  }
}

/** Copies, so that what aliases share is counted as often as it is seen. */
function copyBounded(root: unknown): unknown {
  let nodes = 0;
  const copy = (value: unknown, depth: number): unknown => {
    nodes += 1;
    if (nodes > YAML_LIMITS.nodes) throw new YamlRefusedError('the document expands to more than is allowed');
    if (depth > YAML_LIMITS.depth) throw new YamlRefusedError('the document is nested too deeply');
    if (Array.isArray(value)) return value.map((item) => copy(item, depth + 1));
    if (value instanceof Date) return value.toISOString();
    if (typeof value === 'bigint') return value.toString();
    if (value !== null && typeof value === 'object') {
      const entries = value instanceof Map ? [...value] : Object.entries(value);
      return Object.fromEntries(
        entries
          .filter(([name]) => String(name) !== '__proto__')
          .map(([name, item]) => [String(name), copy(item, depth + 1)]),
      );
    }
    return value;
  };
  return copy(root, 0);
}
