import { CfError } from './errors.ts';

const MAX_DEPTH = 32;

/** Reads a JSON body; an empty one is `{}`. Throws MessageParseError for what is no JSON, too deep, or plays with prototypes. */
export function parseJson(text: unknown): unknown {
  if (text === undefined || text === null || text === '') return {};
  if (typeof text !== 'string' || depthOf(text) > MAX_DEPTH) throw malformed();
  try {
    return JSON.parse(text, (key, value) => {
      if (key === '__proto__') throw malformed();
      return value;
    });
  } catch (cause) {
    throw cause instanceof CfError ? cause : malformed(cause);
  }
}

function malformed(cause?: unknown): CfError {
  return new CfError('MessageParseError', 'Request invalid due to parse error: invalid request body', { cause });
}

/** How deep brackets nest, outside strings; counted before anything is built from the text. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (inString) {
      if (code === 0x5c) index++;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x5b || code === 0x7b) deepest = Math.max(deepest, ++depth);
    else if (code === 0x5d || code === 0x7d) depth--;
  }
  return deepest;
}
