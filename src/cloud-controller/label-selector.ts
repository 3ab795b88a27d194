import { badQuery } from './errors.ts';
import { labelKeyError, labelValueError } from './metadata.ts';

/** One condition of a label_selector; all must hold. */
export type Requirement =
  | { operator: 'exists' | 'absent'; key: string }
  | { operator: 'in' | 'notin'; key: string; values: readonly string[] };

const MAX_REQUIREMENTS = 50;
const MAX_LENGTH = 8192;

/** Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k`. Throws BadQueryParameter; size and number of conditions are bounded. */
export function parseLabelSelector(text: string | undefined): Requirement[] {
  if (text === undefined) return [];
  if (text.trim() === '') throw badQuery('Missing label_selector value');
  if (text.length > MAX_LENGTH) throw badQuery('Invalid label_selector value');
  const parts = splitOutsideParentheses(text);
  if (parts.length > MAX_REQUIREMENTS) {
    throw badQuery(`Too many label_selector requirements (maximum is ${MAX_REQUIREMENTS})`);
  }
  return parts.map((part) => checked(parseRequirement(part.trim())));
}

function splitOutsideParentheses(text: string): string[] {
  const parts: string[] = [];
  let start = 0;
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    const character = text[index];
    if (character === '(') depth++;
    else if (character === ')') depth--;
    else if (character === ',' && depth === 0) {
      parts.push(text.slice(start, index));
      start = index + 1;
    }
    if (depth < 0 || depth > 1) throw badQuery('Invalid label_selector value');
  }
  parts.push(text.slice(start));
  return parts;
}

const KEY = '([\\w./-]+)';
const SET = new RegExp(`^${KEY} +(in|notin) *\\(([^()]*)\\)$`);
const EQUAL = new RegExp(`^${KEY} ?(==|=|!=) ?([\\w.-]*)$`);
const EXISTS = new RegExp(`^(!?) ?${KEY}$`);

function parseRequirement(text: string): Requirement {
  const set = SET.exec(text);
  if (set) {
    const values = set[3]!.split(',').map((value) => value.trim());
    return { operator: set[2] === 'in' ? 'in' : 'notin', key: set[1]!, values };
  }
  const equal = EQUAL.exec(text);
  if (equal) return { operator: equal[2] === '!=' ? 'notin' : 'in', key: equal[1]!, values: [equal[3]!] };
  const exists = EXISTS.exec(text);
  if (exists) return { operator: exists[1] === '!' ? 'absent' : 'exists', key: exists[2]! };
  throw badQuery('Invalid label_selector value');
}

function checked(requirement: Requirement): Requirement {
  const values = 'values' in requirement ? requirement.values : [];
  const problem = labelKeyError(requirement.key) ?? values.map(labelValueError).find((error) => error !== null) ?? null;
  if (problem !== null) throw badQuery(problem);
  return requirement;
}
