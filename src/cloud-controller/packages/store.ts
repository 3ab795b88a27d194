import type { Selectable } from 'kysely';
import { authorizeByApp, narrowByApp, type OfApps } from '../apps/belongings.ts';
import type { App } from '../apps/store.ts';
import type { PackageTable } from '../apps/tables.ts';
import { metadataView } from '../apps/view.ts';
import type { Db } from '../database.ts';
import { notFound } from '../errors.ts';
import { type Page, page } from '../list.ts';
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
  const { app, row } = await authorizeByApp(call, found, invisible);
  return { app, found: row };
}

export async function listPackages(db: Db, query: Query, only: OfApps): Promise<Page<Package>> {
  const joined = db
    .selectFrom('packages')
    .innerJoin('apps', 'apps.guid', 'packages.app_guid')
    .innerJoin('spaces', 'spaces.guid', 'apps.space_guid')
    .selectAll('packages');
  let select = narrowByApp(joined, 'packages', query, only);
  const states = query.filters.get('states');
  if (states) select = select.where('packages.state', 'in', states as Package['state'][]);
  const types = query.filters.get('types');
  if (types && !types.includes('bits')) select = select.where('packages.docker_image', 'is not', null);
  if (types && !types.includes('docker')) select = select.where('packages.docker_image', 'is', null);
  return page(db, select, 'packages', query);
}

/** A registry's password is never shown again. */
export const REDACTED_PASSWORD = '***';

export function packageView(links: Links, row: Package): Record<string, unknown> {
  const path = `/v3/packages/${row.guid}`;
  const { docker_image: image, docker_username: username } = row;
  const bits = image === null;
  return {
    ...identityView(row),
    type: bits ? 'bits' : 'docker',
    data: bits
      ? { error: row.error, checksum: { type: 'sha256', value: row.sha256 } }
      : { image, username, password: username === null ? null : REDACTED_PASSWORD },
    state: row.state,
    relationships: { app: toOne(row.app_guid) },
    metadata: metadataView(row),
    links: {
      self: links.to(path),
      ...(bits ? { upload: links.action(`${path}/upload`, 'POST'), download: links.to(`${path}/download`) } : {}),
      app: links.to(`/v3/apps/${row.app_guid}`),
    },
  };
}
