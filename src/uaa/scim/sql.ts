import { type Expression, type RawBuilder, type SqlBool, sql } from 'kysely';
import { UaaError } from '../errors.ts';
import type { ScimFilter } from './filter.ts';

/** A SCIM attribute as a column. Text compares without regard to case, an id exactly. */
export interface ScimAttribute {
  column: RawBuilder<unknown>;
  type: 'text' | 'id' | 'boolean' | 'time';
}
export type ScimAttributes = ReadonlyMap<string, ScimAttribute>;

const attribute = (column: string, type: ScimAttribute['type']): ScimAttribute => ({ column: sql.ref(column), type });

export const USER_ID_ATTRIBUTES: ScimAttributes = new Map([
  ['id', attribute('id', 'id')],
  ['username', attribute('user_name', 'text')],
  ['origin', attribute('origin', 'id')],
]);

export const USER_ATTRIBUTES: ScimAttributes = new Map([
  ...USER_ID_ATTRIBUTES,
  ['externalid', attribute('external_id', 'id')],
  ['givenname', attribute('given_name', 'text')],
  ['name.givenname', attribute('given_name', 'text')],
  ['familyname', attribute('family_name', 'text')],
  ['name.familyname', attribute('family_name', 'text')],
  ['email', attribute('email', 'text')],
  ['emails', attribute('email', 'text')],
  ['emails.value', attribute('email', 'text')],
  ['phonenumber', attribute('phone_number', 'text')],
  ['phonenumbers.value', attribute('phone_number', 'text')],
  ['active', attribute('active', 'boolean')],
  ['verified', attribute('verified', 'boolean')],
  ['created', attribute('created_at', 'time')],
  ['meta.created', attribute('created_at', 'time')],
  ['lastmodified', attribute('updated_at', 'time')],
  ['meta.lastmodified', attribute('updated_at', 'time')],
]);

export const GROUP_ATTRIBUTES: ScimAttributes = new Map([
  ['id', attribute('id', 'id')],
  ['displayname', attribute('display_name', 'text')],
  ['description', attribute('description', 'text')],
  ['created', attribute('created_at', 'time')],
  ['meta.created', attribute('created_at', 'time')],
  ['lastmodified', attribute('updated_at', 'time')],
  ['meta.lastmodified', attribute('updated_at', 'time')],
]);

/** Lists are compared as UAA keeps them: as one text with commas, so `co` is the way to ask for a word of one. */
const words = (column: string): ScimAttribute => ({
  column: sql`array_to_string(${sql.ref(column)}, ',')`,
  type: 'text',
});

export const CLIENT_ATTRIBUTES: ScimAttributes = new Map([
  ['id', attribute('client_id', 'text')],
  ['client_id', attribute('client_id', 'text')],
  ['name', attribute('name', 'text')],
  ['scope', words('scope')],
  ['authorities', words('authorities')],
  ['authorized_grant_types', words('grant_types')],
  ['redirect_uri', words('redirect_uris')],
  ['created', attribute('created_at', 'time')],
  ['lastmodified', attribute('updated_at', 'time')],
]);

/** The condition of a filter; columns come from `attributes`, everything else is a parameter. Throws `invalid_filter`. */
export function filterSql(filter: ScimFilter | null, attributes: ScimAttributes): Expression<SqlBool> {
  return filter === null ? sql<SqlBool>`true` : condition(filter, attributes);
}

function condition(filter: ScimFilter, attributes: ScimAttributes): RawBuilder<SqlBool> {
  switch (filter.kind) {
    case 'and':
    case 'or': {
      const terms = filter.terms.map((term) => condition(term, attributes));
      return sql<SqlBool>`(${sql.join(terms, filter.kind === 'and' ? sql` AND ` : sql` OR `)})`;
    }
    case 'not':
      return sql<SqlBool>`NOT coalesce(${condition(filter.term, attributes)}, false)`;
    case 'present': {
      const { column } = known(filter.attribute, attributes);
      return sql<SqlBool>`(${column} IS NOT NULL)`;
    }
    case 'compare':
      return comparison(known(filter.attribute, attributes), filter.operator, filter.value);
  }
}

type Operator = Extract<ScimFilter, { kind: 'compare' }>['operator'];
const ORDERINGS = { gt: sql`>`, ge: sql`>=`, lt: sql`<`, le: sql`<=` } as const;

function comparison({ column, type }: ScimAttribute, operator: Operator, value: string | boolean): RawBuilder<SqlBool> {
  if (type === 'boolean') {
    if (operator !== 'eq') refuse();
    return sql<SqlBool>`(${column} = ${asBoolean(value)})`;
  }
  if (typeof value === 'boolean') refuse();
  if (type === 'time') {
    const time = asTime(value);
    if (operator === 'eq') return sql<SqlBool>`(date_trunc('milliseconds', ${column}) = ${time})`;
    if (operator === 'co' || operator === 'sw') refuse();
    return sql<SqlBool>`(${column} ${ORDERINGS[operator]} ${time})`;
  }
  const left = type === 'text' ? sql`lower(${column})` : column;
  const right = type === 'text' ? sql`lower(${value}::text)` : sql`${value}::text`;
  switch (operator) {
    case 'eq':
      return sql<SqlBool>`(${left} = ${right})`;
    case 'co':
      return sql<SqlBool>`(position(${right} IN ${left}) > 0)`;
    case 'sw':
      return sql<SqlBool>`starts_with(${left}, ${right})`;
    default:
      return sql<SqlBool>`(${left} ${ORDERINGS[operator]} ${right})`;
  }
}

function known(name: string, attributes: ScimAttributes): ScimAttribute {
  return attributes.get(name) ?? refuse();
}

function asBoolean(value: string | boolean): boolean {
  if (typeof value === 'boolean') return value;
  if (/^(true|false)$/i.test(value)) return value.toLowerCase() === 'true';
  return refuse();
}

function asTime(value: string): Date {
  const time = /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)?$/.test(value) ? new Date(value) : null;
  return time && !Number.isNaN(time.getTime()) ? time : refuse();
}

function refuse(): never {
  throw new UaaError('invalid_filter', 'Invalid filter expression.');
}

/** `startIndex` counts from 1; `count` is at most 500, 100 unless told. */
export interface ScimPage {
  startIndex: number;
  offset: number;
  limit: number;
}

export interface SortOrder {
  column(attributes: ScimAttributes): RawBuilder<unknown>;
  direction: 'asc' | 'desc';
}
