import { type SelectQueryBuilder, sql } from 'kysely';
import type { Visible } from '../authorization.ts';
import type { CfError } from '../errors.ts';
import { narrow } from '../list.ts';
import type { Call } from '../operation.ts';
import type { Role } from '../permissions.ts';
import type { Query } from '../query.ts';
import { type App, findApp, placeOf } from './store.ts';

/**
 * What is the same for all that belongs to apps (packages, builds, droplets, processes, deployments, tasks, sidecars,
 * revisions): it is where its app is, and is seen by those who see the app.
 */

/** Lets the caller pass at a row's app. Throws `invisible` where there is no row or they may not know of it. */
export async function authorizeByApp<Row extends { app_guid: string }>(
  call: Pick<Call, 'authorize' | 'context'>,
  row: Row | null | undefined,
  invisible: CfError,
): Promise<{ app: App; row: Row; roles: ReadonlySet<Role> }> {
  const app = row ? await findApp(call.context.db, row.app_guid) : null;
  if (!row || !app) throw invisible;
  return { app, row, roles: await call.authorize(placeOf(app), invisible) };
}

/** Which rows a list may show: those the caller sees, or those of one app. */
export type OfApps = { visible: Visible } | { appGuid: string };

/**
 * Applies what all lists of an app's belongings are filtered by. `select` must join `apps`, and `spaces` too where the list
 * takes `organization_guids`. Without `only` the caller narrows it.
 */
export function narrowByApp<DB, TB extends keyof DB, O>(
  select: SelectQueryBuilder<DB, TB, O>,
  table: string,
  query: Query,
  only: OfApps | null,
): SelectQueryBuilder<DB, TB, O> {
  const visible = only && 'visible' in only ? { column: 'apps.space_guid', to: only.visible } : undefined;
  let narrowed = narrow(select, table, query, visible);
  const app = sql.ref(`${table}.app_guid`);
  if (only && 'appGuid' in only) narrowed = narrowed.where(sql<boolean>`${app} = ${only.appGuid}`);
  for (const [filter, column] of [
    ['app_guids', app],
    ['space_guids', sql.ref('apps.space_guid')],
    ['organization_guids', sql.ref('spaces.organization_guid')],
  ] as const) {
    const guids = query.filters.get(filter);
    if (guids) narrowed = narrowed.where(sql<boolean>`${column} = ANY(${guids})`);
  }
  return narrowed;
}
