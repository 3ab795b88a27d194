import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { type BodySchema, normalizedBody, schemasAlong } from './body.ts';
import { unprocessable } from './errors.ts';

/** Checks a body against its schema and gives it typed, or throws UnprocessableEntity with the field's own sentences. */
export function bodyReader<Body extends TSchema>(schema: Body): (body: unknown) => Static<Body> {
  const validator = Compile(schema);
  return (given) => {
    const body = normalizedBody(schema, given);
    if (validator.Check(body)) return body;
    const problems = new Map<string, string>();
    // What is unknown is told first, as clients know it.
    const isUnknown = ({ keyword }: Problem): boolean => keyword === 'additionalProperties';
    const found = [...validator.Errors(body)] as Problem[];
    for (const problem of [...found.filter(isUnknown), ...found.filter((one) => !isUnknown(one))]) {
      for (const [place, sentence] of describe(schema, body, problem)) {
        // The first word about a place is the closest one; a union adds only that none of its members fit.
        if (!problems.has(place)) problems.set(place, sentence);
      }
    }
    throw unprocessable([...new Set(problems.values())].slice(0, 20).join(', ') || 'The request is invalid');
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

/** What to say about a problem, each with its place: what is unknown, what is missing and what is wrong stand side by side. */
function describe(
  schema: TSchema,
  body: unknown,
  { keyword, instancePath: path, params }: Problem,
): [string, string][] {
  const along = schemasAlong(schema, path);
  const relationship = relationshipProblem(along, path);
  if (relationship) return [relationship];
  if (keyword === 'additionalProperties') return [[`${path} unknown`, unknownFields(path, params)]];
  if (keyword === 'required') {
    const parent = along.at(-1)!;
    return (params.requiredProperties ?? []).map((field) => {
      const place = `${path}/${field}`;
      return relationshipProblem(schemasAlong(schema, place), place) ?? [place, missing(place, parent, field)];
    });
  }
  const value = valueAt(body, path);
  const sentence = ownSentence(along.at(-1)!, path, value, keyword) ?? wrong(path, value, keyword, params);
  return sentence === null ? [] : [[path, sentence]];
}

/** The sentence that stands beside the schema. */
function ownSentence(
  { told, sentence, malformed }: BodySchema,
  path: string,
  value: unknown,
  keyword: string,
): string | null {
  const key = path.slice(path.lastIndexOf('/') + 1, path.length);
  if (told !== undefined) {
    return told
      .replaceAll('%key', () => key.slice(0, 100))
      .replaceAll('%value', () => JSON.stringify(value).slice(0, 100));
  }
  if (keyword === 'pattern' && malformed !== undefined) return `${humanized(path)} ${malformed}`;
  if (sentence === undefined) return null;
  return `${humanized(path)} ${sentence.replaceAll('%value', () => String(value).slice(0, 100))}`;
}

/** Whatever is wrong inside a relationship is told as how one looks. */
function relationshipProblem(along: readonly BodySchema[], path: string): [string, string] | null {
  const at = along.findIndex((schema) => schema.relationship !== undefined);
  // A body that is a relationship itself has no name to speak of.
  if (at < 1) return null;
  const place = path.split('/').slice(0, at + 1);
  const name = place.at(-1)!;
  const reference = '{"guid": "valid-guid"}';
  const data = along[at]!.relationship === 'to-one' ? reference : `[${reference},${reference}]`;
  return [place.join('/'), `${humanized(place.join('/'))} must be structured like this: "${name}: {"data": ${data}}"`];
}

function unknownFields(path: string, params: Problem['params']): string {
  const unknown = (params.additionalProperties ?? []).slice(0, 10).map((field) => `'${field.slice(0, 100)}'`);
  return `${path === '' ? '' : `${humanized(path)} `}Unknown field(s): ${unknown.join(', ')}`;
}

function missing(place: string, parent: BodySchema, field: string): string {
  const schema = parent.properties?.[field];
  const name = humanized(place);
  if (schema?.missing) return `${name} ${schema.missing}`;
  if (place === '/relationships') return "Relationships 'relationships' is not an object";
  if (schema?.type === 'boolean' || schema?.type === 'array' || schema?.type === 'object')
    return typed(name, schema.type);
  return `${name} can't be blank`;
}

function typed(name: string, type: string): string {
  return `${name} must be ${/^[aeio]/.test(type) ? 'an' : 'a'} ${type}`;
}

function wrong(path: string, value: unknown, keyword: string, params: Problem['params']): string | null {
  const name = humanized(path);
  switch (keyword) {
    case 'type': {
      const type = String(params.type);
      if (type === 'null') return null;
      if (path === '/relationships') return "Relationships 'relationships' is not an object";
      if (type === 'integer' && typeof value !== 'number') return `${name} is not a number`;
      return typed(path === '' ? 'The request body' : name, type);
    }
    case 'minLength':
      return params.limit === 1
        ? `${name} can't be blank`
        : `${name} is too short (minimum is ${params.limit} characters)`;
    case 'maxLength':
      return `${name} is too long (maximum is ${params.limit} characters)`;
    case 'minimum':
      return `${name} must be greater than or equal to ${params.limit}`;
    case 'exclusiveMinimum':
      return `${name} must be greater than ${params.limit}`;
    case 'maximum':
      return `${name} must be less than or equal to ${params.limit}`;
    case 'minItems':
      return `${name} must have at least ${params.limit} elements`;
    case 'maxItems':
      return `${name} must have at most ${params.limit} elements`;
    case 'enum':
      return `${name} must be one of ${(params.allowedValues ?? []).map((item) => `'${item}'`).join(', ')}`;
    case 'boolean':
      return null; // additionalProperties of the parent says it
    default:
      return `${name} is invalid`;
  }
}

function valueAt(body: unknown, path: string): unknown {
  return path
    .split('/')
    .slice(1)
    .reduce<unknown>((value, step) => {
      const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
      return typeof value === 'object' && value !== null
        ? Object.entries(value).find(([key]) => key === name)?.[1]
        : undefined;
    }, body);
}

/** "/relationships/organization/data" → "Relationships organization data". */
function humanized(path: string): string {
  const words = path.split('/').filter(Boolean).join(' ').replaceAll('_', ' ').slice(0, 200);
  return words.charAt(0).toUpperCase() + words.slice(1);
}
