import type { TSchema } from 'typebox';

/**
 * What the reference lets clients send beyond a schema's letter, for all bodies in one place: null for an optional field
 * is the same as leaving it out, whole numbers may come as text ("256"), and objects that are open keep what is known.
 * The exceptions stand beside their schema, as these options.
 */
export interface BodyOptions {
  /** null is refused though the field is optional, as the reference refuses it. */
  nullRefused?: boolean;
  /** A number must be a JSON number; text is refused. */
  exact?: boolean;
  /** The words after the field's name when the value will not do: `must be "port", "process", or "http"`; %value is the value. */
  sentence?: string;
  /** The whole sentence instead, where %key is the field's last name and %value the value as JSON. */
  told?: string;
  /** The words after the field's name where a required value is missing; otherwise by its type. */
  missing?: string;
  /** The words after the field's name where a text does not match its pattern. */
  malformed?: string;
  /** A relationship: problems anywhere inside are told as how it must be structured. */
  relationship?: 'to-one' | 'to-many';
}

/** The parts of JSON Schema that request bodies use. */
export interface BodySchema extends BodyOptions {
  type?: string;
  properties?: Readonly<Record<string, BodySchema>>;
  patternProperties?: Readonly<Record<string, BodySchema>>;
  required?: readonly string[];
  additionalProperties?: unknown;
  items?: BodySchema;
  anyOf?: readonly BodySchema[];
}

/** A TypeBox schema seen as what it is on paper. */
export function bodySchema(schema: TSchema): BodySchema {
  return schema as BodySchema;
}

export function takesNull(schema: BodySchema): boolean {
  return schema.type === 'null' || (schema.anyOf?.some(takesNull) ?? false) || !describesType(schema);
}

/** `Type.Unknown()` takes anything. */
function describesType(schema: BodySchema): boolean {
  return Object.keys(schema).some((key) => key === 'type' || key === 'anyOf' || key === 'enum' || key === 'const');
}

/** The body as its schema means it. A body of null is an empty one. */
export function normalizedBody(schema: TSchema, body: unknown): unknown {
  const root = bodySchema(schema);
  return normalized(root, body === null && !takesNull(root) ? {} : body);
}

function normalized(schema: BodySchema, value: unknown): unknown {
  if (schema.anyOf) return normalizedUnion(schema.anyOf, value);
  if (schema.type === 'integer' && typeof value === 'string' && !schema.exact) return wholeNumber(value) ?? value;
  if (Array.isArray(value)) {
    const { items } = schema;
    return items ? value.map((item) => normalized(items, item)) : value;
  }
  if (!schema.properties || typeof value !== 'object' || value === null) return value;
  return normalizedObject(schema, schema.properties, value);
}

function normalizedObject(
  schema: BodySchema,
  properties: Readonly<Record<string, BodySchema>>,
  value: object,
): Record<string, unknown> {
  const fields: [string, unknown][] = [];
  for (const [name, field] of Object.entries(value)) {
    const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
    // An unknown field of a closed object stays, to be refused by name; of an open one it means nothing.
    if (!known) {
      if (schema.additionalProperties === false) fields.push([name, field]);
    } else if (field !== null || takesNull(known) || known.nullRefused || schema.required?.includes(name)) {
      fields.push([name, normalized(known, field)]);
    }
  }
  return Object.fromEntries(fields);
}

/** A union in a body is a type or null, or one of several words: its one member that has a shape decides. */
function normalizedUnion(members: readonly BodySchema[], value: unknown): unknown {
  const shaped = members.find((member) => member.properties || member.items || member.type === 'integer');
  return shaped && value !== null ? normalized(shaped, value) : value;
}

/** Rails' numericality: digits with a sign and white space around. */
function wholeNumber(text: string): number | null {
  return /^\s*[+-]?\d{1,15}\s*$/.test(text) ? Number(text) : null;
}

/** The schema at an instance path ("/relationships/app/data"), with every schema passed on the way, outermost first. */
export function schemasAlong(schema: TSchema, path: string): BodySchema[] {
  const found = [bodySchema(schema)];
  for (const step of path.split('/').slice(1)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~');
    const next = stepInto(found.at(-1)!, name);
    if (!next) break;
    found.push(next);
  }
  return found;
}

function stepInto(schema: BodySchema, name: string): BodySchema | null {
  if (schema.properties && Object.hasOwn(schema.properties, name)) return schema.properties[name]!;
  if (schema.items && /^\d+$/.test(name)) return schema.items;
  const [values] = Object.values(schema.patternProperties ?? {});
  if (values) return values;
  for (const member of schema.anyOf ?? []) {
    const inside = stepInto(member, name);
    if (inside) return inside;
  }
  return null;
}
