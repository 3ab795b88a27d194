import { STATUS_CODES } from 'node:http';
import type { TSchema } from 'typebox';
import { CF_ERRORS } from './errors.ts';
import type { Operation } from './operation.ts';
import { type OperationId, type Permission, permissionOf } from './permissions.ts';
import type { QueryRules } from './query.ts';

type Json = Readonly<Record<string, unknown>>;
/** Schemas that stand once, by their title. */
type Shared = Map<string, Json>;

const TEXT: Json = { type: 'string' };
const several = (items: Json = TEXT): Json => ({ type: 'array', items });

/** What every list takes. */
const COMMON: Readonly<Record<string, Json>> = Object.fromEntries(
  Object.entries({
    page: { type: 'integer', minimum: 1 },
    per_page: { type: 'integer', minimum: 1, maximum: 5000 },
    guids: several(),
    created_ats: several(),
    updated_ats: several(),
    label_selector: TEXT,
  }).map(([name, schema]) => [name, queryParameter(name, schema)]),
);

/** What of our schemas JSON Schema knows too; the rest is how we say what is wrong. */
const KEYWORDS = new Set([
  ...['type', 'properties', 'patternProperties', 'required', 'additionalProperties', 'items', 'anyOf', 'enum', 'const'],
  ...['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'minLength', 'maxLength', 'minItems', 'maxItems'],
  ...['pattern', 'format', 'description', 'title'],
]);

const ERRORS: Json = {
  type: 'object',
  required: ['errors'],
  properties: {
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['code', 'title', 'detail'],
        properties: {
          code: {
            type: 'integer',
            enum: [...new Set(Object.values(CF_ERRORS).map(({ code }) => code))].sort(byNumber),
          },
          title: { type: 'string', enum: Object.keys(CF_ERRORS).map((name) => `CF-${name}`) },
          detail: { type: 'string' },
        },
      },
    },
  },
};

/** The API as an OpenAPI 3.1 document, from what the operations declare and the permission table says. */
export function openApi(operations: readonly Operation[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  const shared: Shared = new Map();
  for (const operation of operations.toSorted((one, other) => (pathOf(one.id) < pathOf(other.id) ? -1 : 1))) {
    const path = pathOf(operation.id).replace(/:(\w+)/g, '{$1}');
    const method = operation.id.slice(0, operation.id.indexOf(' ')).toLowerCase();
    paths[path] = { ...paths[path], [method]: described(operation, shared) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Cloud Foundry API v3', version },
    components: {
      schemas: { Errors: ERRORS, ...Object.fromEntries([...shared].sort()) },
      parameters: COMMON,
      responses: { Refused: { description: 'Refused', ...jsonContent({ $ref: '#/components/schemas/Errors' }) } },
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
    paths,
  };
}

function described(operation: Operation, shared: Shared): Json {
  const { id, query, accepts, body, answers } = operation;
  const permission = permissionOf(id);
  const parameters = [...pathParameters(id), ...queryParameters(query ?? {})];
  const responses = answers
    ? Object.fromEntries(
        Object.entries(answers).map(([status, schema]) => [status, response(Number(status), schema, shared)]),
      )
    : {};
  return {
    operationId: id.toLowerCase().replace(/\W+/g, '_').replace(/_$/, ''),
    tags: [pathOf(id).split('/')[2] ?? 'root'],
    security: permission.scope === 'public' ? [] : [{ token: [] }],
    'x-permission': shownPermission(permission),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(carriesBody(operation) ? { requestBody: requestBody(accepts, body) } : {}),
    responses: { ...responses, default: { $ref: '#/components/responses/Refused' } },
  };
}

function shownPermission(permission: Permission): Json {
  return Object.fromEntries(Object.entries(permission));
}

function response(status: number, schema: TSchema | null, shared: Shared): Json {
  const description = STATUS_CODES[status] ?? String(status);
  return schema === null ? { description } : { description, ...jsonContent(plain(schema, { shared })) };
}

/** An operation that takes no JSON of its own says so by its unknown body. */
function carriesBody({ id, accepts, body }: Operation): boolean {
  return /^(POST|PUT|PATCH) /.test(id) && (accepts !== 'json' || Object.keys(plain(body)).length > 0);
}

function requestBody(accepts: Operation['accepts'], body: TSchema): Json {
  if (accepts === 'json') return jsonContent(plain(body, { inBody: true }));
  const type = accepts === 'yaml' ? 'application/x-yaml' : 'multipart/form-data';
  return { content: { [type]: { schema: { type: accepts === 'yaml' ? 'string' : 'object' } } } };
}

function jsonContent(schema: Json): Json {
  return { content: { 'application/json': { schema } } };
}

/** Where a schema stands: in a body null stands for what is left out, where it is not refused; elsewhere named schemas are shared. */
type Where = { inBody: true; shared?: never } | { inBody?: never; shared?: Shared };

/** Without what only our own readers know. */
function plain(schema: TSchema, where: Where = {}): Json {
  const own = schema as Json;
  const { title } = own;
  if (!where.shared || typeof title !== 'string') return spelledOut(own, where);
  if (!where.shared.has(title)) where.shared.set(title, spelledOut(own, where));
  return { $ref: `#/components/schemas/${title}` };
}

function spelledOut(own: Json, where: Where): Json {
  const kept = Object.entries(own).filter(([key]) => KEYWORDS.has(key));
  const required = (own['required'] ?? []) as readonly string[];
  return Object.fromEntries(
    kept.map(([key, value]) => {
      if (key === 'properties') return [key, properties(value as Json, required, where)];
      if (key === 'patternProperties') return [key, mapped(value as Json, where)];
      if (key === 'items') return [key, plain(value as TSchema, where)];
      if (key === 'anyOf') return [key, (value as TSchema[]).map((one) => plain(one, where))];
      return [key, value];
    }),
  );
}

function properties(schemas: Json, required: readonly string[], where: Where): Json {
  return Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => {
      const shown = plain(schema as TSchema, where);
      const nullable = where.inBody && !required.includes(name) && !(schema as Json)['nullRefused'];
      return [name, nullable ? orNull(shown) : shown];
    }),
  );
}

function orNull(schema: Json): Json {
  const members = (schema['anyOf'] as Json[] | undefined) ?? [schema];
  return members.some(({ type }) => type === 'null') ? schema : { anyOf: [...members, { type: 'null' }] };
}

function mapped(schemas: Json, where: Where): Json {
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, plain(schema as TSchema, where)]));
}

function pathParameters(id: OperationId): Json[] {
  return [...pathOf(id).matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

function queryParameters(rules: QueryRules): Json[] {
  const oneOf = (values: readonly string[]): Json => ({ ...TEXT, enum: values });
  const orders = rules.orderOnlyBy ?? ['created_at', 'updated_at', ...(rules.orderBy ?? [])];
  const common = [
    ...(rules.list ? ['page', 'per_page', 'guids', 'created_ats', 'updated_ats'] : []),
    ...(rules.labels ? ['label_selector'] : []),
  ].filter((name) => name !== 'created_ats' || !rules.orderOnlyBy);
  const own: [string, Json][] = [
    ...(rules.list
      ? [['order_by', oneOf(orders.flatMap((column) => [column, `-${column}`]))] satisfies [string, Json]]
      : []),
    ...(rules.filters ?? []).map((name): [string, Json] => {
      if (rules.integers?.includes(name)) return [name, several({ type: 'integer' })];
      const among = rules.among?.[name];
      return [name, several(among ? oneOf(among) : TEXT)];
    }),
    ...(rules.values ?? []).map((name): [string, Json] => [name, TEXT]),
    ...Object.entries(rules.oneOf ?? {}).map(([name, { values }]): [string, Json] => [name, oneOf(values)]),
    ...(rules.include ? [['include', several(oneOf(rules.include))] satisfies [string, Json]] : []),
    ...(rules.embed ? [['embed', several(oneOf(rules.embed))] satisfies [string, Json]] : []),
    ...Object.entries(rules.fields ?? {}).map(([name, known]): [string, Json] => [
      `fields[${name}]`,
      several(oneOf(known)),
    ]),
  ];
  return [
    ...common.map((name) => ({ $ref: `#/components/parameters/${name}` })),
    ...own.map(([name, schema]) => queryParameter(name, schema)),
  ];
}

/** Several values are separated by commas. */
function queryParameter(name: string, schema: Json): Json {
  return { name, in: 'query', schema, ...(schema['type'] === 'array' ? { style: 'form', explode: false } : {}) };
}

function pathOf(id: OperationId): string {
  return id.slice(id.indexOf(' ') + 1);
}

function byNumber(one: number, other: number): number {
  return one - other;
}
