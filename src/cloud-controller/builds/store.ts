import type { Selectable } from 'kysely';
import { authorizeByApp, narrowByApp, type OfApps } from '../apps/belongings.ts';
import type { App } from '../apps/store.ts';
import type { BuildTable } from '../apps/tables.ts';
import { lifecycleView, metadataView } from '../apps/view.ts';
import type { Db } from '../database.ts';
import { notFound } from '../errors.ts';
import { type Page, page } from '../list.ts';
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
  const { app, row } = await authorizeByApp(call, build, notFound('Build'));
  return { app, build: row };
}

export async function listBuilds(db: Db, query: Query, only: OfApps): Promise<Page<Build>> {
  const joined = db.selectFrom('builds').innerJoin('apps', 'apps.guid', 'builds.app_guid').selectAll('builds');
  let select = narrowByApp(joined, 'builds', query, only);
  const states = query.filters.get('states');
  if (states) select = select.where('builds.state', 'in', states as Build['state'][]);
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
