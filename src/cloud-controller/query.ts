import { isCleanText } from '../kit/json.ts';
import { badQuery } from './errors.ts';
import { parseLabelSelector, type Requirement } from './label-selector.ts';
import { Unread, type Watched } from './unread.ts';

/** Which query parameters an operation knows; any other is refused. */
export interface QueryRules {
  /** Adds page, per_page, order_by, guids, created_ats, updated_ats. */
  list?: boolean;
  /** Columns beside created_at and updated_at that order_by may name. */
  orderBy?: readonly string[];
  /** The only columns that order_by may name, for what has no time of creation: created_ats is refused too. */
  orderOnlyBy?: readonly string[];
  /** Parameters that take several values separated by commas. */
  filters?: readonly string[];
  /** Those of `filters` whose values are whole numbers from 0 to 2147483647. */
  integers?: readonly string[];
  /** Those of `filters` that take only these values. */
  among?: Readonly<Record<string, readonly string[]>>;
  /** Parameters that take one value. */
  values?: readonly string[];
  /** Parameters that take one of a few values, and what refuses another. */
  oneOf?: Readonly<Record<string, OneOf>>;
  /** Parameters that are taken and say nothing here. */
  meaningless?: readonly string[];
  /** Adds label_selector. */
  labels?: boolean;
  /** Resources that may be included. */
  include?: readonly string[];
  /** What may be embedded. */
  embed?: readonly string[];
  /** Names in `fields[name]`, with the fields each may ask for. */
  fields?: Readonly<Record<string, readonly string[]>>;
}

export interface OneOf {
  values: readonly string[];
  sentence: string | ((given: string) => string);
}

/** A parameter that is "true" or "false". `label` begins the sentence that refuses anything else. */
export function trueOrFalse(label: string): OneOf {
  return { values: ['true', 'false'], sentence: `${label} must be 'true' or 'false'` };
}

export interface TimeFilter {
  column: 'created_at' | 'updated_at';
  /** `in`: one of; else a comparison with the only value. */
  operator: 'in' | 'lt' | 'lte' | 'gt' | 'gte';
  values: readonly string[];
}

/** A query string as the rules read it. */
export interface Query {
  page: number;
  perPage: number;
  orderBy: { column: string; descending: boolean } | null;
  filters: ReadonlyMap<string, readonly string[]>;
  values: ReadonlyMap<string, string>;
  times: Watched<TimeFilter>;
  labels: Watched<Requirement>;
  include: Watched<string>;
  embed: Watched<string>;
  fields: ReadonlyMap<string, readonly string[]>;
  /** Which of the parameters given nobody has read yet. */
  unread: Unread;
  /** What page links repeat: everything given but page and per_page. */
  repeated: readonly (readonly [string, string])[];
}

/** All resources with these guids: what another answer names. */
export function byGuids(guids: readonly string[]): Query {
  return { ...parseQuery({}, {}), perPage: guids.length, filters: new Map([['guids', guids]]) };
}

const MAX_PER_PAGE = 5000;
/** Past this offset no page can exist; keeps arithmetic in the database's integers. */
const MAX_PAGE = 1_000_000_000;
const MAX_INTEGER = 2_147_483_647;
const PAGING = ['page', 'per_page', 'order_by'];
const COMMON = ['guids', 'created_ats', 'updated_ats'];

/** Reads a query string. Throws BadQueryParameter for what is unknown or malformed. */
export function parseQuery(raw: Readonly<Record<string, unknown>>, rules: QueryRules): Query {
  const texts = new Map<string, string>();
  for (const [name, value] of Object.entries(raw)) {
    const text = Array.isArray(value) ? value.at(-1) : value;
    if (typeof text === 'string') texts.set(name, text);
  }
  refuseUnknown([...texts.keys()], rules);
  const filters = new Map<string, readonly string[]>();
  const values = new Map<string, string>();
  const fields = new Map<string, readonly string[]>();
  const times: TimeFilter[] = [];
  for (const [name, text] of texts) {
    const bracket = /^(\w+)\[([\w.]+)\]$/.exec(name);
    const base = bracket?.[1] ?? name;
    if (rules.list && (base === 'created_ats' || base === 'updated_ats'))
      times.push(timeFilter(base, bracket?.[2], text));
    else if (base === 'fields' && bracket) fields.set(bracket[2]!, fieldsOf(bracket[2]!, split(text), rules));
    else if (rules.values?.includes(name)) values.set(name, text);
    else if (rules.oneOf && Object.hasOwn(rules.oneOf, name)) values.set(name, oneOf(rules.oneOf[name]!, text));
    else if (rules.filters?.includes(name) || (rules.list && name === 'guids')) {
      const given = split(text);
      if (rules.integers?.includes(name)) checkIntegers(name, given);
      checkAmong(name, given, rules.among?.[name]);
      filters.set(name, given);
    }
  }
  const unread = new Unread();
  return {
    page: positive('Page', texts.get('page'), 1, MAX_PAGE),
    perPage: positive('Per page', texts.get('per_page'), 50, MAX_PER_PAGE),
    orderBy: unread.value('order_by', orderBy(texts.get('order_by'), rules)),
    filters: unread.map(filters),
    values: unread.map(values),
    times: unread.times(times),
    labels: unread.list('label_selector', parseLabelSelector(texts.get('label_selector'))),
    include: unread.list('include', named('include', texts.get('include'), rules.include)),
    embed: unread.list('embed', named('embed', texts.get('embed'), rules.embed)),
    fields: unread.map(fields, (name) => `fields[${name}]`),
    unread,
    repeated: [...texts].filter(([name]) => name !== 'page' && name !== 'per_page'),
  };
}

function checkIntegers(name: string, values: readonly string[]): void {
  if (values.every((value) => /^\d{1,10}$/.test(value) && Number(value) <= MAX_INTEGER)) return;
  throw badQuery(`${name} must be whole numbers, separated by commas`);
}

function checkAmong(name: string, values: readonly string[], known: readonly string[] | undefined): void {
  if (known === undefined || values.every((value) => known.includes(value))) return;
  throw badQuery(`${name} can only be: ${known.map((value) => `'${value}'`).join(', ')}`);
}

function oneOf({ values, sentence }: OneOf, given: string): string {
  if (values.includes(given)) return given;
  throw badQuery(typeof sentence === 'string' ? sentence : sentence(given.slice(0, 100)));
}

function fieldsOf(resource: string, given: readonly string[], rules: QueryRules): readonly string[] {
  const known = rules.fields?.[resource] ?? [];
  if (given.every((field) => known.includes(field))) return given;
  throw badQuery(`Fields valid keys for '${resource}' are: ${known.map((field) => `'${field}'`).join(', ')}`);
}

function refuseUnknown(names: readonly string[], rules: QueryRules): void {
  if (rules.orderOnlyBy && names.some((name) => /^created_ats\b/.test(name))) {
    throw badQuery("Filtering by 'created_ats' is not allowed on this resource.");
  }
  const known = [
    ...(rules.list ? [...PAGING, ...COMMON] : []),
    ...(rules.labels ? ['label_selector'] : []),
    ...(rules.include ? ['include'] : []),
    ...(rules.embed ? ['embed'] : []),
    ...(rules.filters ?? []),
    ...(rules.values ?? []),
    ...Object.keys(rules.oneOf ?? {}),
    ...(rules.meaningless ?? []),
  ];
  const unknown = names.filter((name) => {
    if (known.includes(name)) return false;
    const bracket = /^(\w+)\[([\w.]+)\]$/.exec(name);
    if (!bracket) return true;
    const [, base, inside] = bracket;
    if (base === 'fields') return !rules.fields || !Object.hasOwn(rules.fields, inside!);
    return !(rules.list && (base === 'created_ats' || base === 'updated_ats'));
  });
  if (unknown.length === 0) return;
  const shown = unknown.slice(0, 10).map((name) => `'${name.slice(0, 100)}'`);
  throw badQuery(
    `Unknown query parameter(s): ${shown.join(', ')}. Valid parameters are: ${known.map((name) => `'${name}'`).join(', ')}`,
  );
}

/** Commas separate; a value's own comma comes percent-encoded a second time. */
function split(text: string): string[] {
  return text.split(/,\s*/).map((part) => {
    const value = decoded(part);
    if (!isCleanText(value)) throw badQuery('a value holds a forbidden character');
    return value;
  });
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function positive(name: string, text: string | undefined, otherwise: number, most: number): number {
  if (text === undefined) return otherwise;
  const value = /^\d{1,12}$/.test(text) ? Number(text) : 0;
  if (value < 1) throw badQuery(`${name} must be a positive integer`);
  if (value > most) throw badQuery(`${name} must be between 1 and ${most}`);
  return value;
}

function orderBy(text: string | undefined, rules: QueryRules): Query['orderBy'] {
  if (text === undefined || text === '') return null;
  const columns = rules.orderOnlyBy ?? ['created_at', 'updated_at', ...(rules.orderBy ?? [])];
  const [, sign, column] = /^([+ -]?)(\w+)$/.exec(text) ?? [];
  if (!column || !columns.includes(column)) {
    throw badQuery(`Order by can only be: ${columns.map((name) => `'${name}'`).join(', ')}`);
  }
  return { column, descending: sign === '-' };
}

/** What `include` or `embed` names. */
function named(
  parameter: 'include' | 'embed',
  text: string | undefined,
  known: readonly string[] = [],
): readonly string[] {
  const found: string[] = [];
  const word = parameter === 'include' ? 'included' : 'embedded';
  for (const name of text === undefined || text === '' ? [] : text.split(',')) {
    if (!known.includes(name)) {
      const valid = known.map((item) => `'${item}'`).join(', ');
      throw badQuery(`Invalid ${word} resource: '${name.slice(0, 100)}'. Valid ${word} resources are: ${valid}`);
    }
    if (found.includes(name)) throw badQuery(`Duplicate ${word} resource: '${name}'`);
    found.push(name);
  }
  return found;
}

const TIMESTAMP = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/;

/** A second there is, of a year that PostgreSQL has too: `Date` carries 30 February and 24:00 over, and knows a year 0. */
function isTimestamp(text: string): boolean {
  if (!TIMESTAMP.test(text) || text.startsWith('0000')) return false;
  const time = new Date(text);
  return !Number.isNaN(time.getTime()) && time.toISOString() === text.replace('Z', '.000Z');
}

function timeFilter(name: 'created_ats' | 'updated_ats', operator: string | undefined, text: string): TimeFilter {
  const label = name === 'created_ats' ? 'Created ats' : 'Updated ats';
  const values = split(text);
  for (const value of values) {
    if (!isTimestamp(value)) {
      throw badQuery(
        `${label} has an invalid timestamp format. Timestamps should be formatted as 'YYYY-MM-DDThh:mm:ssZ'`,
      );
    }
  }
  const column = name === 'created_ats' ? 'created_at' : 'updated_at';
  if (operator === undefined) return { column, operator: 'in', values };
  if (operator !== 'lt' && operator !== 'lte' && operator !== 'gt' && operator !== 'gte') {
    throw badQuery(`Invalid relational operator: '${operator}'`);
  }
  if (values.length !== 1) throw badQuery(`${label} only accepts one value when using a relational operator`);
  return { column, operator, values };
}
