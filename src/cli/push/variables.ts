import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { CupolaError } from '../../kit/errors.ts';
import { isRecord } from '../../kit/json.ts';

/** What stands for something in a manifest: ((NAME)), or ((NAME.KEY)) of a value that has keys. */
const VARIABLE = /\(\(!?([-/\w]+(?:\.[-/\w]+)*)\)\)/g;

export type Variables = Readonly<Record<string, unknown>>;

/** NAME=VALUE, where the value is YAML as the cf CLI has it: 3 is a number. Null for what is no such word. */
export function variableOf(word: string): [name: string, value: unknown] | null {
  const [, name, text] = /^([-/\w]+)=(.*)$/s.exec(word) ?? [];
  if (name === undefined) return null;
  try {
    return [name, parse(text!) ?? ''];
  } catch {
    return [name, text];
  }
}

/** Of the files, a later one over an earlier one, and the words over both. Throws `bad_variables`, which repeats no value. */
export async function readVariables(files: readonly string[], words: readonly string[]): Promise<Variables> {
  const all: Record<string, unknown> = {};
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => {
      throw new CupolaError('bad_variables', `${file} cannot be read`);
    });
    Object.assign(all, namesIn(file, text));
  }
  return { ...all, ...Object.fromEntries(words.map(variableOf).filter((pair) => pair !== null)) };
}

function namesIn(file: string, text: string): Variables {
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 100 });
  } catch {
    value = undefined; // what complains of a text quotes it
  }
  if (!isRecord(value)) throw new CupolaError('bad_variables', `${file} is no YAML with a value for each name`);
  return value;
}

/**
 * A manifest with its variables filled in. One that is a whole value becomes what it stands for, a number or a list too; within a text it has to
 * be a text or a number. `missing` gets the names that nothing stands for.
 */
export function filledIn(value: unknown, variables: Variables, missing: Set<string>): unknown {
  if (Array.isArray(value)) return value.map((one) => filledIn(one, variables, missing));
  if (isRecord(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [
        String(filledIn(key, variables, missing)),
        filledIn(one, variables, missing),
      ]),
    );
  }
  if (typeof value !== 'string') return value;
  const [whole] = value.matchAll(VARIABLE);
  const found = whole?.[0] === value ? standsFor(whole[1]!, variables) : undefined;
  if (found !== undefined) return found;
  return value.replaceAll(VARIABLE, (written, name: string) => {
    const part = standsFor(name, variables);
    if (typeof part === 'string' || typeof part === 'number' || typeof part === 'boolean') return String(part);
    missing.add(name);
    return written;
  });
}

function standsFor(name: string, variables: Variables): unknown {
  let value: unknown = variables;
  for (const key of name.split('.')) value = isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined;
  return value;
}
