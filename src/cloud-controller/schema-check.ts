import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';

/** The parts of JSON Schema that answers and events use. */
interface Schema {
  properties?: Readonly<Record<string, Schema>>;
  patternProperties?: Readonly<Record<string, Schema>>;
  items?: Schema;
  anyOf?: readonly Schema[];
  additionalProperties?: unknown;
}

type Check = (value: unknown) => string | null;

/** Holds values, as JSON has them, against what is declared of them: nothing less, and nothing more. */
export class SchemaCheck {
  readonly #checks = new Map<TSchema, Check>();

  /** What is wrong with it; null where nothing is. */
  problemOf(schema: TSchema, value: unknown): string | null {
    return this.#checkOf(schema)(value === undefined ? undefined : JSON.parse(JSON.stringify(value)));
  }

  #checkOf(schema: TSchema): Check {
    const known = this.#checks.get(schema);
    if (known) return known;
    const validator = Compile(closed(schema as Schema) as TSchema);
    const check: Check = (value) =>
      validator.Check(value) ? null : JSON.stringify([...validator.Errors(value)].slice(0, 3)).slice(0, 1000);
    this.#checks.set(schema, check);
    return check;
  }
}

/** The same schema where an object has no more than what it names; one that names nothing, or says that it has more, is open. */
function closed(schema: Schema): Schema {
  const { properties, patternProperties, items, anyOf, additionalProperties } = schema;
  const isSaid = additionalProperties !== undefined || Object.keys(properties ?? {}).length === 0;
  return {
    ...schema,
    ...(properties ? { properties: mapped(properties) } : {}),
    ...(isSaid ? {} : { additionalProperties: false }),
    ...(patternProperties ? { patternProperties: mapped(patternProperties) } : {}),
    ...(items ? { items: closed(items) } : {}),
    ...(anyOf ? { anyOf: anyOf.map(closed) } : {}),
  };
}

function mapped(schemas: Readonly<Record<string, Schema>>): Record<string, Schema> {
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, closed(schema)]));
}
