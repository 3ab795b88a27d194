import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely';
import type { Db } from './database.ts';
import type { Requirement } from './label-selector.ts';
import type { Query } from './query.ts';
import type { Links } from './view.ts';

export interface Page<Row> {
  rows: Row[];
  total: number;
}

/** What every list knows: guids, created_ats, updated_ats and label_selector, as conditions of `table`. */
export function commonConditions(table: string, query: Query): RawBuilder<boolean>[] {
  const column = (name: string) => sql.ref(`${table}.${name}`);
  const guids = query.filters.get('guids');
  const times = [...query.times].map(({ column: name, operator, values }) => {
    const seconds = sql`date_trunc('second', ${column(name)})`;
    return operator === 'in'
      ? sql<boolean>`${seconds} = ANY(${values}::timestamptz[])`
      : sql<boolean>`${seconds} ${sql.raw(COMPARISON[operator])} ${values[0]}::timestamptz`;
  });
  return [
    ...(guids ? [sql<boolean>`${column('guid')} = ANY(${guids})`] : []),
    ...times,
    ...[...query.labels].map((requirement) => labelCondition(table, requirement)),
  ];
}

/** What `commonConditions` asks of created_ats and updated_ats, of what is in no table. What has no such time is in no list by it. */
export function matchesTimes(
  query: Query,
  times: Readonly<Partial<Record<'created_at' | 'updated_at', Date | null>>>,
): boolean {
  return [...query.times].every(({ column, operator, values }) => {
    const time = times[column];
    if (!time) return false;
    const seconds = Math.floor(time.getTime() / 1000);
    const given = values.map((value) => Date.parse(value) / 1000);
    if (operator === 'in') return given.includes(seconds);
    return given.every((other) => MATCHES[operator](seconds, other));
  });
}

const MATCHES: Readonly<Record<keyof typeof COMPARISON, (time: number, other: number) => boolean>> = {
  lt: (time, other) => time < other,
  lte: (time, other) => time <= other,
  gt: (time, other) => time > other,
  gte: (time, other) => time >= other,
};

const COMPARISON = { lt: '<', lte: '<=', gt: '>', gte: '>=' } as const;

function labelCondition(table: string, requirement: Requirement) {
  const labels = sql.ref(`${table}.labels`);
  const value = sql`${labels} ->> ${requirement.key}`;
  switch (requirement.operator) {
    case 'exists':
      return sql<boolean>`${labels} ? ${requirement.key}`;
    case 'absent':
      return sql<boolean>`NOT (${labels} ? ${requirement.key})`;
    case 'in': {
      // As what the index of labels knows.
      const held = requirement.values.map((given) => sql`${labels} @> ${{ [requirement.key]: given }}::jsonb`);
      return sql<boolean>`(${sql.join(held, sql` OR `)})`;
    }
    case 'notin':
      return sql<boolean>`COALESCE(${value} <> ALL(${requirement.values}), true)`;
  }
}

/**
 * What a list may be made of: nothing that no list shows and that weighs more than what it shows. What is asked for beside it
 * is read by itself.
 */
export interface Listed {
  guid: string;
  env_data?: never;
  command_data?: never;
  docker_data?: never;
  execution_metadata?: never;
}

/** Of whatever tables, whatever it selects. */
// biome-ignore lint/suspicious/noExplicitAny: which ones are its caller's
export type Select<Row> = SelectQueryBuilder<any, any, Row>;

/**
 * The page a query asks for, ordered by its order_by or by creation, with how many rows there are in all: `total`.
 * `then` orders what a join gives of one row.
 * `select` must be narrowed already; `table` is the one whose rows are listed.
 */
export async function page<Row extends Listed>(
  select: Select<Row>,
  table: string,
  query: Query,
  total: () => Promise<number>,
  then?: string,
): Promise<Page<Row>> {
  const direction = sql.raw(query.orderBy?.descending ? 'DESC' : 'ASC');
  const id = sql`${sql.ref(`${table}.id`)} ${direction}${then ? sql`, ${sql.ref(then)}` : sql``}`;
  const ordered = query.orderBy
    ? select.orderBy(sql`${sql.ref(`${table}.${query.orderBy.column}`)} ${direction}`).orderBy(id)
    : select.orderBy(id);
  const [rows, count] = await Promise.all([
    readAll(ordered.limit(query.perPage).offset((query.page - 1) * query.perPage)),
    total(),
  ]);
  return { rows, total: count };
}

/** How many rows a query gives. */
export async function countOf(db: Db, select: Select<unknown>): Promise<number> {
  const { rows } = await sql<{ total: number }>`
    SELECT count(*) AS total FROM (${select.clearSelect().select(sql`1`.as('one'))}) AS counted`.execute(db);
  return rows[0]?.total ?? 0;
}

/** Rows come in so many at a time: no more are in memory before they are counted. */
const ROWS_AT_ONCE = 16;

/**
 * The rows of a query that may give many, `rowsAtOnce` at a time: what is too much for an answer, or for somebody who is gone,
 * ends before the rest is sent. For small rows more of them come at once.
 */
export async function readAll<DB, TB extends keyof DB, O>(
  select: SelectQueryBuilder<DB, TB, O>,
  rowsAtOnce = ROWS_AT_ONCE,
): Promise<O[]> {
  const rows: O[] = [];
  for await (const row of select.stream(rowsAtOnce)) rows.push(row);
  return rows;
}

/** Of guids and what is no larger. */
export const SMALL_ROWS_AT_ONCE = 512;

/** The list as the client sees it, with absolute links to its pages. `path` is the operation's own, with guids filled in. */
export function listView<Row, View>(
  links: Links,
  path: string,
  query: Query,
  found: Page<Row>,
  view: (row: Row) => View,
  included?: Readonly<Record<string, readonly unknown[]>>,
) {
  const pages = Math.max(1, Math.ceil(found.total / query.perPage));
  const link = (page: number) => {
    const parameters = new URLSearchParams([
      ...query.repeated.map(([name, value]): [string, string] => [name, value]),
      ['page', String(page)],
      ['per_page', String(query.perPage)],
    ]);
    return links.to(`${path}?${parameters}`);
  };
  return {
    pagination: {
      total_results: found.total,
      total_pages: pages,
      first: link(1),
      last: link(pages),
      next: query.page < pages ? link(query.page + 1) : null,
      previous: query.page > 1 ? link(query.page - 1) : null,
    },
    resources: found.rows.map(view),
    ...(included ? { included: { ...included } as Record<string, object[]> } : {}),
  };
}

/** Names are compared without case, as they are unique without case. */
export function lowered(names: readonly string[]): string[] {
  return names.map((name) => name.toLowerCase());
}
