import type { Selectable } from 'kysely';
import type { App } from '../apps/store.ts';
import { findApp, placeOf } from '../apps/store.ts';
import type { PackageTable } from '../apps/tables.ts';
import { metadataView } from '../apps/view.ts';
import type { Visible } from '../authorization.ts';
import type { Db } from '../database.ts';
import { notFound } from '../errors.ts';
import { narrow, type Page, page } from '../list.ts';
import type { Call } from '../operation.ts';
import type { Query, QueryRules } from '../query.ts';
import { identityView, type Links, toOne } from '../view.ts';

export type Package = Selectable<PackageTable>;

export const packageQuery = {
  list: true,
  labels: true,
  filters: ['states', 'types', 'app_guids', 'space_guids', 'organization_guids'],
} as const satisfies QueryRules;

export async function authorizedPackage(
  call: Pick<Call, 'authorize' | 'context'>,
  guid: string,
  invisible = notFound('Package'),
): Promise<{ app: App; found: Package }> {
  const { db } = call.context;
  const found = await db.selectFrom('packages').selectAll().where('guid', '=', guid).executeTakeFirst();
  const app = found ? await findApp(db, found.app_guid) : null;
  if (!found || !app) throw invisible;
  await call.authorize(placeOf(app), invisible);
  return { app, found };
}

export async function listPackages(
  db: Db,
  query: Query,
  only: { visible: Visible } | { appGuid: string },
): Promise<Page<Package>> {
  const joined = db
    .selectFrom('packages')
    .innerJoin('apps', 'apps.guid', 'packages.app_guid')
    .innerJoin('spaces', 'spaces.guid', 'apps.space_guid')
    .selectAll('packages');
  const visible = 'visible' in only ? { column: 'apps.space_guid', to: only.visible } : undefined;
  let select = narrow(joined, 'packages', query, visible);
  if ('appGuid' in only) select = select.where('packages.app_guid', '=', only.appGuid);
  const states = query.filters.get('states');
  if (states) select = select.where('packages.state', 'in', states as Package['state'][]);
  const types = query.filters.get('types');
  if (types && !types.includes('bits')) select = select.where('packages.guid', '=', '');
  const apps = query.filters.get('app_guids');
  if (apps) select = select.where('packages.app_guid', 'in', apps);
  const spaces = query.filters.get('space_guids');
  if (spaces) select = select.where('apps.space_guid', 'in', spaces);
  const organizations = query.filters.get('organization_guids');
  if (organizations) select = select.where('spaces.organization_guid', 'in', organizations);
  return page(db, select, 'packages', query);
}

export function packageView(links: Links, row: Package): Record<string, unknown> {
  const path = `/v3/packages/${row.guid}`;
  return {
    ...identityView(row),
    type: 'bits',
    data: { error: row.error, checksum: { type: 'sha256', value: row.sha256 } },
    state: row.state,
    relationships: { app: toOne(row.app_guid) },
    metadata: metadataView(row),
    links: {
      self: links.to(path),
      upload: links.action(`${path}/upload`, 'POST'),
      download: links.to(`${path}/download`),
      app: links.to(`/v3/apps/${row.app_guid}`),
    },
  };
}
