import { type SelectQueryBuilder, sql } from 'kysely';
import type { Visible } from './authorization.ts';
import type { Db } from './database.ts';
import type { Requirement } from './label-selector.ts';
import type { Query } from './query.ts';
import type { Links } from './view.ts';

export interface Page<Row> {
  rows: Row[];
  total: number;
}

/**
 * Adds what every list knows: guids, created_ats, updated_ats and label_selector on `table`, and what the caller may see
 * (`visible` compared with `visibleColumn`, e.g. "spaces.guid").
 */
export function narrow<DB, TB extends keyof DB, O>(
  select: SelectQueryBuilder<DB, TB, O>,
  table: string,
  query: Query,
  visible?: { column: string; to: Visible },
): SelectQueryBuilder<DB, TB, O> {
  let narrowed = select;
  const column = (name: string) => sql.ref(`${table}.${name}`);
  const guids = query.filters.get('guids');
  if (guids) narrowed = narrowed.where(sql<boolean>`${column('guid')} = ANY(${guids})`);
  for (const { column: name, operator, values } of query.times) {
    const seconds = sql`date_trunc('second', ${column(name)})`;
    narrowed = narrowed.where(
      operator === 'in'
        ? sql<boolean>`${seconds} = ANY(${values}::timestamptz[])`
        : sql<boolean>`${seconds} ${sql.raw(COMPARISON[operator])} ${values[0]}::timestamptz`,
    );
  }
  for (const requirement of query.labels) narrowed = narrowed.where(labelCondition(table, requirement));
  if (visible && !visible.to.everything) {
    narrowed = narrowed.where(sql<boolean>`${sql.ref(visible.column)} IN ${visible.to.guids}`);
  }
  return narrowed;
}

const COMPARISON = { lt: '<', lte: '<=', gt: '>', gte: '>=' } as const;

function labelCondition(table: string, requirement: Requirement) {
  const labels = sql.ref(`${table}.labels`);
  const value = sql`${labels} ->> ${requirement.key}`;
  switch (requirement.operator) {
    case 'exists':
      return sql<boolean>`${labels} ? ${requirement.key}`;
    case 'absent':
      return sql<boolean>`NOT (${labels} ? ${requirement.key})`;
    case 'in':
      return sql<boolean>`${value} = ANY(${requirement.values})`;
    case 'notin':
      return sql<boolean>`COALESCE(${value} <> ALL(${requirement.values}), true)`;
  }
}

/**
 * The page a query asks for, ordered by its order_by or by creation, and how many rows there are in all.
 * `select` must be narrowed already; `table` is the one whose rows are listed.
 */
export async function page<DB, TB extends keyof DB, O>(
  db: Db,
  select: SelectQueryBuilder<DB, TB, O>,
  table: string,
  query: Query,
): Promise<Page<O>> {
  const direction = sql.raw(query.orderBy?.descending ? 'DESC' : 'ASC');
  const id = sql`${sql.ref(`${table}.id`)} ${direction}`;
  const ordered = query.orderBy
    ? select.orderBy(sql`${sql.ref(`${table}.${query.orderBy.column}`)} ${direction}`).orderBy(id)
    : select.orderBy(id);
  const [rows, count] = await Promise.all([
    ordered
      .limit(query.perPage)
      .offset((query.page - 1) * query.perPage)
      .execute(),
    sql<{
      total: number;
    }>`SELECT count(*) AS total FROM (${select.clearSelect().select(sql`1`.as('one'))}) AS counted`.execute(db),
  ]);
  return { rows, total: count.rows[0]?.total ?? 0 };
}

/** The list as the client sees it, with absolute links to its pages. `path` is the operation's own, with guids filled in. */
export function listView<Row>(
  links: Links,
  path: string,
  query: Query,
  found: Page<Row>,
  view: (row: Row) => unknown,
  included?: Readonly<Record<string, readonly unknown[]>>,
): Record<string, unknown> {
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
    ...(included ? { included } : {}),
  };
}

/** Names are compared without case, as they are unique without case. */
export function lowered(names: readonly string[]): string[] {
  return names.map((name) => name.toLowerCase());
}
