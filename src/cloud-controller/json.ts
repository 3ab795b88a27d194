import { JsonRefusedError, readJson } from '../kit/json.ts';
import { CfError, unprocessable } from './errors.ts';

/**
 * Reads a JSON body; an empty one and `null` are `{}`, as in the reference. Throws MessageParseError for what is no JSON, too
 * deep, or plays with prototypes, and UnprocessableEntity for characters that no name or value may hold.
 */
export function parseJson(text: unknown): unknown {
  if (text === undefined || text === null) return {};
  if (typeof text !== 'string') throw malformed();
  try {
    return readJson(text) ?? {};
  } catch (cause) {
    if (!(cause instanceof JsonRefusedError)) throw cause;
    if (cause.fault === 'forbidden character') {
      throw unprocessable('The request body must not contain a NUL character or half of a surrogate pair');
    }
    throw malformed(cause);
  }
}

function malformed(cause?: unknown): CfError {
  return new CfError('MessageParseError', 'Request invalid due to parse error: invalid request body', { cause });
}
