import type { Selectable } from 'kysely';
import { type App, findApp, placeOf } from '../apps/store.ts';
import type { BuildTable } from '../apps/tables.ts';
import { lifecycleView, metadataView } from '../apps/view.ts';
import type { Visible } from '../authorization.ts';
import type { Db } from '../database.ts';
import { notFound } from '../errors.ts';
import { narrow, type Page, page } from '../list.ts';
import type { Call } from '../operation.ts';
import type { Query, QueryRules } from '../query.ts';
import { identityView, type Links, toOne } from '../view.ts';

export type Build = Selectable<BuildTable>;

export const buildQuery = {
  list: true,
  labels: true,
  filters: ['states', 'app_guids', 'package_guids'],
} as const satisfies QueryRules;

export async function authorizedBuild(
  call: Pick<Call, 'authorize' | 'context'>,
  guid: string,
): Promise<{ app: App; build: Build }> {
  const { db } = call.context;
  const build = await db.selectFrom('builds').selectAll().where('guid', '=', guid).executeTakeFirst();
  const app = build ? await findApp(db, build.app_guid) : null;
  if (!build || !app) throw notFound('Build');
  await call.authorize(placeOf(app), notFound('Build'));
  return { app, build };
}

export async function listBuilds(
  db: Db,
  query: Query,
  only: { visible: Visible } | { appGuid: string },
): Promise<Page<Build>> {
  const joined = db.selectFrom('builds').innerJoin('apps', 'apps.guid', 'builds.app_guid').selectAll('builds');
  const visible = 'visible' in only ? { column: 'apps.space_guid', to: only.visible } : undefined;
  let select = narrow(joined, 'builds', query, visible);
  if ('appGuid' in only) select = select.where('builds.app_guid', '=', only.appGuid);
  const states = query.filters.get('states');
  if (states) select = select.where('builds.state', 'in', states as Build['state'][]);
  const apps = query.filters.get('app_guids');
  if (apps) select = select.where('builds.app_guid', 'in', apps);
  const packages = query.filters.get('package_guids');
  if (packages) select = select.where('builds.package_guid', 'in', packages);
  return page(db, select, 'builds', query);
}

export function buildView(links: Links, build: Build): Record<string, unknown> {
  const isStaged = build.state === 'STAGED';
  return {
    ...identityView(build),
    state: build.state,
    staging_memory_in_mb: build.staging_memory_mb,
    staging_disk_in_mb: build.staging_disk_mb,
    staging_log_rate_limit_bytes_per_second: -1,
    error: build.error,
    lifecycle: lifecycleView(build),
    package: { guid: build.package_guid },
    droplet: isStaged ? { guid: build.droplet_guid } : null,
    created_by: { guid: build.created_by_guid, name: build.created_by_name, email: build.created_by_name },
    relationships: { app: toOne(build.app_guid) },
    metadata: metadataView(build),
    links: {
      self: links.to(`/v3/builds/${build.guid}`),
      app: links.to(`/v3/apps/${build.app_guid}`),
      ...(isStaged ? { droplet: links.to(`/v3/droplets/${build.droplet_guid}`) } : {}),
    },
  };
}
