import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { unprocessable } from './errors.ts';

/** Checks a body against its schema and gives it typed, or throws UnprocessableEntity with the field's own sentences. */
export function bodyReader<Body extends TSchema>(schema: Body): (body: unknown) => Static<Body> {
  const validator = Compile(schema);
  return (body) => {
    if (validator.Check(body)) return body;
    const problems = new Map<string, string>();
    for (const problem of validator.Errors(body)) {
      const { keyword, instancePath, params } = problem as Problem;
      const sentence = describe(keyword, instancePath, params);
      // The first word about a place is the closest one; a union adds only that none of its members fit.
      if (sentence !== null && !problems.has(instancePath)) problems.set(instancePath, sentence);
    }
    throw unprocessable([...problems.values()].slice(0, 20).join(', ') || 'The request is invalid');
  };
}

interface Problem {
  keyword: string;
  instancePath: string;
  params: {
    additionalProperties?: readonly string[];
    requiredProperties?: readonly string[];
    type?: string | readonly string[];
    limit?: number | string;
    allowedValues?: readonly unknown[];
  };
}

function describe(keyword: string, path: string, params: Problem['params']): string | null {
  const name = humanized(path);
  switch (keyword) {
    case 'additionalProperties': {
      const unknown = (params.additionalProperties ?? []).slice(0, 10).map((field) => `'${field.slice(0, 100)}'`);
      return `${path === '' ? '' : `${name} `}Unknown field(s): ${unknown.join(', ')}`;
    }
    case 'required':
      return (params.requiredProperties ?? [])
        .map((field) => `${humanized(`${path}/${field}`)} can't be blank`)
        .join(', ');
    case 'type': {
      const type = String(params.type);
      if (type === 'null') return null;
      return `${path === '' ? 'The request body' : name} must be ${/^[aeio]/.test(type) ? 'an' : 'a'} ${type}`;
    }
    case 'minLength':
      return params.limit === 1
        ? `${name} can't be blank`
        : `${name} is too short (minimum is ${params.limit} characters)`;
    case 'maxLength':
      return `${name} is too long (maximum is ${params.limit} characters)`;
    case 'minimum':
      return `${name} must be greater than or equal to ${params.limit}`;
    case 'maximum':
      return `${name} must be less than or equal to ${params.limit}`;
    case 'minItems':
      return `${name} must have at least ${params.limit} elements`;
    case 'maxItems':
      return `${name} must have at most ${params.limit} elements`;
    case 'enum':
      return `${name} must be one of ${(params.allowedValues ?? []).map((value) => `'${value}'`).join(', ')}`;
    case 'boolean':
      return null; // additionalProperties of the parent says it
    default:
      return `${name} is invalid`;
  }
}

/** "/relationships/organization/data" → "Relationships organization data". */
function humanized(path: string): string {
  const words = path.split('/').filter(Boolean).join(' ').replaceAll('_', ' ').slice(0, 200);
  return words.charAt(0).toUpperCase() + words.slice(1);
}
