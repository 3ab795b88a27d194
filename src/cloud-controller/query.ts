import { badQuery } from './errors.ts';
import { parseLabelSelector, type Requirement } from './label-selector.ts';

/** Which query parameters an operation knows; any other is refused. */
export interface QueryRules {
  /** Adds page, per_page, order_by, guids, created_ats, updated_ats. */
  list?: boolean;
  /** Columns beside created_at and updated_at that order_by may name. */
  orderBy?: readonly string[];
  /** Parameters that take several values separated by commas. */
  filters?: readonly string[];
  /** Parameters that take one value. */
  values?: readonly string[];
  /** Adds label_selector. */
  labels?: boolean;
  /** Resources that may be included. */
  include?: readonly string[];
  /** Names in `fields[name]`. */
  fields?: readonly string[];
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
  times: readonly TimeFilter[];
  labels: readonly Requirement[];
  include: ReadonlySet<string>;
  fields: ReadonlyMap<string, readonly string[]>;
  /** What page links repeat: everything given but page and per_page. */
  repeated: readonly (readonly [string, string])[];
}

const MAX_PER_PAGE = 5000;
/** Past this offset no page can exist; keeps arithmetic in the database's integers. */
const MAX_PAGE = 1_000_000_000;
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
    else if (base === 'fields' && bracket) fields.set(bracket[2]!, split(text));
    else if (rules.values?.includes(name)) values.set(name, text);
    else if (rules.filters?.includes(name) || (rules.list && name === 'guids')) filters.set(name, split(text));
  }
  return {
    page: positive('Page', texts.get('page'), 1, MAX_PAGE),
    perPage: positive('Per page', texts.get('per_page'), 50, MAX_PER_PAGE),
    orderBy: orderBy(texts.get('order_by'), rules),
    filters,
    values,
    times,
    labels: parseLabelSelector(texts.get('label_selector')),
    include: includes(texts.get('include'), rules),
    fields,
    repeated: [...texts].filter(([name]) => name !== 'page' && name !== 'per_page'),
  };
}

function refuseUnknown(names: readonly string[], rules: QueryRules): void {
  const known = [
    ...(rules.list ? [...PAGING, ...COMMON] : []),
    ...(rules.labels ? ['label_selector'] : []),
    ...(rules.include ? ['include'] : []),
    ...(rules.filters ?? []),
    ...(rules.values ?? []),
  ];
  const unknown = names.filter((name) => {
    if (known.includes(name)) return false;
    const bracket = /^(\w+)\[([\w.]+)\]$/.exec(name);
    if (!bracket) return true;
    const [, base, inside] = bracket;
    if (base === 'fields') return !rules.fields?.includes(inside!);
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
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
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
  const columns = ['created_at', 'updated_at', ...(rules.orderBy ?? [])];
  const [, sign, column] = /^([+ -]?)(\w+)$/.exec(text) ?? [];
  if (!column || !columns.includes(column)) {
    throw badQuery(`Order by can only be: ${columns.map((name) => `'${name}'`).join(', ')}`);
  }
  return { column, descending: sign === '-' };
}

function includes(text: string | undefined, rules: QueryRules): ReadonlySet<string> {
  const found = new Set<string>();
  for (const name of text === undefined || text === '' ? [] : text.split(',')) {
    if (!rules.include?.includes(name)) {
      const valid = (rules.include ?? []).map((item) => `'${item}'`).join(', ');
      throw badQuery(`Invalid included resource: '${name.slice(0, 100)}'. Valid included resources are: ${valid}`);
    }
    if (found.has(name)) throw badQuery(`Duplicate included resource: '${name}'`);
    found.add(name);
  }
  return found;
}

const TIMESTAMP = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/;

function timeFilter(name: 'created_ats' | 'updated_ats', operator: string | undefined, text: string): TimeFilter {
  const label = name === 'created_ats' ? 'Created ats' : 'Updated ats';
  const values = split(text);
  for (const value of values) {
    if (!TIMESTAMP.test(value) || Number.isNaN(Date.parse(value))) {
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
