import { readFileSync } from 'node:fs';
import type { Static, TSchema } from 'typebox';
import Value from 'typebox/value';
import { CupolaError } from './errors.ts';
import { JsonRefusedError, readJson } from './json.ts';

/** What a value is called where it is not as declared, and the code of the error. */
export interface Told {
  code: string;
  /** e.g. a file's path */
  what: string;
}

/** The value, typed as its shape says. Throws CupolaError with that code and the first field that is not so; no value is repeated. */
export function checked<Shape extends TSchema>(shape: Shape, value: unknown, { code, what }: Told): Static<Shape> {
  if (Value.Check(shape, value)) return value;
  throw new CupolaError(code, `${what}: ${faultOf(shape, value)}`);
}

/** JSON of that shape. Throws as `checked` does, and where the text is no JSON. */
export function checkedJson<Shape extends TSchema>(shape: Shape, text: string, told: Told): Static<Shape> {
  let value: unknown;
  try {
    value = readJson(text);
  } catch (error) {
    // Without the cause: what complains of a text quotes it.
    if (error instanceof JsonRefusedError) throw new CupolaError(told.code, `${told.what} is no JSON: ${error.fault}`);
    throw error;
  }
  return checked(shape, value, told);
}

/** A file of the platform's own. Throws `invalid_file` with its path and the field that is not as declared. */
export function readCheckedFile<Shape extends TSchema>(path: string, shape: Shape): Static<Shape> {
  return checkedJson(shape, readFileSync(path, 'utf8'), { code: 'invalid_file', what: path });
}

/** "ports.nats must be integer": the first field that is not as declared, and all that it could have been. */
function faultOf(shape: TSchema, value: unknown): string {
  const problems = Value.Errors(shape, value);
  const path = problems[0]?.instancePath ?? '';
  const here = problems.filter((one) => one.instancePath === path && one.keyword !== 'anyOf');
  const name = path.slice(1).replaceAll('/', '.');
  const missing = here.flatMap((one) => (one.keyword === 'required' ? one.params.requiredProperties : []));
  if (missing.length > 0) return `${[name, missing[0]].filter(Boolean).join('.')} is missing`;
  const messages = new Set(here.map(({ message }) => message));
  return `${name || 'the whole'} ${[...messages].join(' or ') || 'is not as declared'}`;
}
