import { type RawBuilder, sql } from 'kysely';
import type { Static, TSchema } from 'typebox';
import { type Caller, type Sees, seesBy, type Visible } from './authorization.ts';
import type { Context } from './context.ts';
import { isCounted, rowsOf } from './counts.ts';
import type { Db } from './database.ts';
import { LIST_READER, type Reader } from './fields.ts';
import { commonConditions, countOf, type Listed, lowered, type Page, page, type Select } from './list.ts';
import type { OperationId } from './permissions.ts';
import { byGuids, type OneOf, type Query, type QueryRules } from './query.ts';

/** What a view may use beside the row. */
export interface Showing {
  readonly context: Context;
  readonly caller: Caller;
  readonly reader: Reader;
  /** What the query asks to embed in each. */
  readonly embed: Iterable<string>;
}

/** Who asks for a list, and how. */
export interface Asked {
  readonly context: Context;
  readonly caller: Caller;
  readonly query: Query;
}

type Condition = RawBuilder<boolean>;
/** Null for everything. */
type Seen = (sees: Sees) => Condition | null;

/** A parameter of the query string that narrows a list. */
interface Filter {
  /** What values it takes; any text where nothing is said. */
  readonly rule: { integers: true } | { among: readonly string[] } | { oneOf: OneOf } | { whole: true } | null;
  condition(values: readonly string[], asked: Asked): Condition | Promise<Condition>;
}

/** What is seen in the organizations whose guids this column holds. */
export function inOrganizations(column: string): Seen {
  return ({ organizations }) => within(column, organizations);
}

/** What is seen in the spaces whose guids this column holds. */
export function inSpaces(column: string): Seen {
  return ({ spaces }) => within(column, spaces);
}

function within(column: string, visible: Visible): Condition | null {
  return visible.everything ? null : sql<boolean>`${sql.ref(column)} IN ${visible.guids}`;
}

/** A column by its name, or what is worked out of some. */
type Column = string | RawBuilder<unknown>;

/** One of the values given. */
export function values(column: Column): Filter {
  const held = typeof column === 'string' ? sql.ref(column) : column;
  return where((given) => sql<boolean>`${held} = ANY(${given})`);
}

/** The same without regard to case, for what is unique without case. */
export function names(column: string): Filter {
  return where((given) => sql<boolean>`lower(${sql.ref(column)}) = ANY(${lowered(given)})`);
}

/** The same for a column that holds lower case. */
export function lowerCase(column: string): Filter {
  return where((given) => sql<boolean>`${sql.ref(column)} = ANY(${lowered(given)})`);
}

/** One of the whole numbers given. */
export function integers(column: string): Filter {
  return {
    rule: { integers: true },
    condition: (given) => sql<boolean>`${sql.ref(column)} = ANY(${given.map(Number)})`,
  };
}

/** Some of the few values that the column may hold; others are refused. */
export function among(column: Column, known: readonly string[]): Filter {
  return { ...values(column), rule: { among: known } };
}

/** One value of a few. */
export function oneOf(rule: OneOf, condition: (given: string) => Condition): Filter {
  return { rule: { oneOf: rule }, condition: ([given]) => condition(given ?? '') };
}

/** Any text, which is read as a whole. */
export function whole(condition: (given: string) => Condition): Filter {
  return { rule: { whole: true }, condition: ([given]) => condition(given ?? '') };
}

/** Whatever else a list can be narrowed by. */
export function where(condition: Filter['condition']): Filter {
  return { rule: null, condition };
}

/** What a row names that `include` may add: resources of another list, by the guid that the row holds. */
export type Included<Row> = readonly [listing: Pick<AnyListing, 'name' | 'some'>, guid: (row: Row) => string | null];
export type Includes<Row> = Readonly<Record<string, readonly Included<Row>[]>>;

/** A list as its resource declares it: what is declared here is what a request may ask for and what it gets. */
export interface Listing<Row, View extends TSchema = TSchema> {
  /** In the key of `included`: "routes". */
  readonly name: string;
  readonly rules: QueryRules;
  readonly includes: Includes<Row>;
  readonly view: View;
  /** The page a query asks for, of what is seen; only what lies `inside`, where that is given. */
  read(asked: Asked, sees: Sees | null, inside: Condition | null): Promise<Page<Row>>;
  views(showing: Showing, rows: readonly Row[]): Promise<Static<View>[]>;
  /** Of these resources those that the caller sees in this list, as it shows them (RBAC-02). */
  some(asking: Pick<Asked, 'context' | 'caller'>, guids: readonly string[]): Promise<Static<View>[]>;
  /** The same list with fewer filters: what the place of a nested list says already. Without "include" it includes nothing. */
  without(...filters: string[]): Listing<Row, View>;
}
// biome-ignore lint/suspicious/noExplicitAny: a list of whatever rows
export type AnyListing = Listing<any>;

interface Declaration<Row extends Listed, View extends TSchema> {
  /** Whose rows are listed, in the order of creation. */
  table: string;
  /** The rows as they are shown: what is joined to them leaves none out. */
  from: (db: Db) => Select<Row>;
  seen: Seen;
  filters?: Readonly<Record<string, Filter>>;
  labels?: boolean;
  orderBy?: readonly string[];
  /** Another order than the one asked for, or than that of creation. */
  ordered?(asked: Query['orderBy']): Query['orderBy'];
  /** Orders what a join gives of one row. */
  ties?: string;
  include?: Includes<Row>;
  /** More rules for the query string, of what no filter reads. */
  more?: QueryRules;
  view: View;
  views(showing: Showing, rows: readonly Row[]): Promise<Static<View>[]> | Static<View>[];
}

/** Declares the list that this operation gives to those who see anything in it. */
export function list<Row extends Listed, View extends TSchema>(
  id: OperationId,
  declaration: Declaration<Row, View>,
): Listing<Row, View> {
  const { table, from, seen, filters = {}, include = {}, view, ties } = declaration;
  const listing: Listing<Row, View> = {
    name: id.slice(id.lastIndexOf('/') + 1),
    rules: rulesOf(declaration),
    includes: include,
    view,
    async read(asked, sees, inside) {
      const { context } = asked;
      const query = declaration.ordered
        ? { ...asked.query, orderBy: declaration.ordered(asked.query.orderBy) }
        : asked.query;
      const conditions = commonConditions(table, query);
      for (const condition of [sees && seen(sees), inside]) if (condition) conditions.push(condition);
      for (const [name, filter] of Object.entries(filters)) {
        const given = query.filters.get(name) ?? single(query.values.get(name));
        if (given) conditions.push(await filter.condition(given, asked));
      }
      const { db } = context;
      const select = conditions.reduce((narrower, condition) => narrower.where(condition), from(db));
      const isAll = conditions.length === 0;
      const total = () => (isAll && isCounted(table) ? rowsOf(db, table) : countOf(db, select));
      return page(select, table, query, total, ties);
    },
    async views(showing, rows) {
      return declaration.views(showing, rows);
    },
    async some({ context, caller }, guids) {
      if (guids.length === 0) return [];
      const { rows } = await listing.read({ context, caller, query: byGuids(guids) }, seesBy(caller, id), null);
      return listing.views({ context, caller, reader: LIST_READER, embed: [] }, rows);
    },
    without(...dropped) {
      const left = Object.entries(filters).filter(([name]) => !dropped.includes(name));
      const { include: _include, ...rest } = declaration;
      return list(id, {
        ...(dropped.includes('include') ? rest : declaration),
        filters: Object.fromEntries(left),
      });
    },
  };
  return listing;
}

function single(value: string | undefined): readonly string[] | undefined {
  return value === undefined ? undefined : [value];
}

function rulesOf({
  filters = {},
  labels,
  orderBy,
  include,
  more,
}: Pick<Declaration<Listed, TSchema>, 'filters' | 'labels' | 'orderBy' | 'more'> & { include?: object }): QueryRules {
  const entries = Object.entries(filters);
  const few = entries.flatMap(([name, { rule }]) => (rule && 'oneOf' in rule ? [[name, rule.oneOf] as const] : []));
  const among = entries.flatMap(([name, { rule }]) => (rule && 'among' in rule ? [[name, rule.among] as const] : []));
  return {
    list: true,
    labels: labels ?? false,
    orderBy: orderBy ?? [],
    filters: entries.filter(([, { rule }]) => !(rule && ('oneOf' in rule || 'whole' in rule))).map(([name]) => name),
    integers: entries.filter(([, { rule }]) => rule && 'integers' in rule).map(([name]) => name),
    among: Object.fromEntries(among),
    oneOf: Object.fromEntries(few),
    values: entries.filter(([, { rule }]) => rule && 'whole' in rule).map(([name]) => name),
    ...(include ? { include: Object.keys(include) } : {}),
    ...more,
  };
}

/** `included` of an answer that shows these rows, as the query asks; undefined where it asks for nothing. */
export async function included<Row>(
  asking: Asked,
  rows: readonly Row[],
  includes: Includes<Row>,
): Promise<Record<string, unknown[]> | undefined> {
  if (asking.query.include.size === 0) return undefined;
  const wanted = new Map<string, { listing: Included<Row>[0]; guids: Set<string> }>();
  for (const name of asking.query.include) {
    for (const [listing, guidOf] of includes[name] ?? []) {
      const { guids } = wanted.get(listing.name) ?? { guids: new Set() };
      for (const guid of rows.map(guidOf)) if (guid !== null) guids.add(guid);
      wanted.set(listing.name, { listing, guids });
    }
  }
  const answer: Record<string, unknown[]> = {};
  for (const [name, { listing, guids }] of wanted) answer[name] = await listing.some(asking, [...guids]);
  return answer;
}
