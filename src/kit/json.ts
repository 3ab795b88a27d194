/** What makes a JSON text unacceptable. */
export type JsonFault = 'malformed' | 'too deep' | 'too many values' | 'forbidden name' | 'forbidden character';

export class JsonRefusedError extends Error {
  override readonly name = 'JsonRefusedError';
  readonly fault: JsonFault;

  constructor(fault: JsonFault, options: { cause?: unknown } = {}) {
    super(`the JSON text is refused: ${fault}`, options);
    this.fault = fault;
  }
}

const MAX_DEPTH = 32;
/** Of commas, that is: more than the longest list of any client has. What small values become takes far more room than they. */
const MAX_VALUES = 100_000;
/** Of one object: no operation has more variables, labels or fields. A larger one takes many times as long to build and look through. */
const MAX_NAMES = 10_000;

/**
 * Whether a text can be kept, logged and handed on as it is: PostgreSQL, C programs and environments take no NUL, and half a
 * surrogate pair is no character.
 */
export function isCleanText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

/** Whether a value has names with something under each, as a JSON object does: no list, and not null. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reads JSON that others wrote; of an empty text gives undefined. Throws JsonRefusedError. */
export function readJson(text: string, maxDepth = MAX_DEPTH): unknown {
  if (text.trim() === '') return undefined;
  const { depth, commas, names } = shapeOf(text);
  if (depth > maxDepth) throw new JsonRefusedError('too deep');
  if (commas > MAX_VALUES || names > MAX_NAMES) throw new JsonRefusedError('too many values');
  try {
    const value: unknown = JSON.parse(text);
    // Neither the name nor a forbidden character can be in a text that holds none of the two spellings.
    if (text.includes('\\u') || text.includes('__proto__')) checkClean(value);
    return value;
  } catch (cause) {
    throw cause instanceof JsonRefusedError ? cause : new JsonRefusedError('malformed', { cause });
  }
}

/** A reviver of JSON.parse would take many times as long for a text of many small values. */
function checkClean(value: unknown): void {
  if (typeof value === 'string') {
    if (!isCleanText(value)) throw new JsonRefusedError('forbidden character');
  } else if (Array.isArray(value)) {
    for (const item of value) checkClean(item);
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, item] of Object.entries(value)) {
      if (name === '__proto__') throw new JsonRefusedError('forbidden name');
      if (!isCleanText(name)) throw new JsonRefusedError('forbidden character');
      checkClean(item);
    }
  }
}

/**
 * How deep brackets nest, how many commas there are outside strings, and how many names the largest object has; counted before
 * anything is built from the text.
 */
function shapeOf(text: string): { depth: number; commas: number; names: number } {
  let depth = 0;
  let deepest = 0;
  let commas = 0;
  let names = 0;
  // Of what is open at each depth.
  const colons: number[] = [0];
  let inString = false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (inString) {
      if (code === 0x5c) index++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x5b || code === 0x7b) {
      deepest = Math.max(deepest, ++depth);
      if (depth <= MAX_DEPTH) colons[depth] = 0;
    } else if (code === 0x5d || code === 0x7d) depth = Math.max(0, depth - 1);
    else if (code === 0x2c) commas++;
    else if (code === 0x3a && depth <= MAX_DEPTH) {
      const known = (colons[depth] ?? 0) + 1;
      colons[depth] = known;
      names = Math.max(names, known);
    }
  }
  return { depth: deepest, commas, names };
}
