import type { Selectable } from 'kysely';
import { authorizeByApp, narrowByApp, type OfApps } from '../apps/belongings.ts';
import type { App } from '../apps/store.ts';
import type { DropletTable } from '../apps/tables.ts';
import { metadataView } from '../apps/view.ts';
import type { Db } from '../database.ts';
import { notFound } from '../errors.ts';
import { type Page, page } from '../list.ts';
import type { Call } from '../operation.ts';
import type { Query, QueryRules } from '../query.ts';
import { identityView, type Links, toOne } from '../view.ts';

export type Droplet = Selectable<DropletTable>;

export const dropletQuery = {
  list: true,
  labels: true,
  filters: ['states', 'app_guids', 'space_guids', 'organization_guids'],
  values: ['current'],
} as const satisfies QueryRules;

export async function findDroplet(db: Db, guid: string): Promise<Droplet | null> {
  return (await db.selectFrom('droplets').selectAll().where('guid', '=', guid).executeTakeFirst()) ?? null;
}

export async function authorizedDroplet(
  call: Pick<Call, 'authorize' | 'context'>,
  guid: string,
  invisible = notFound('Droplet'),
): Promise<{ app: App; droplet: Droplet }> {
  const { app, row } = await authorizeByApp(call, await findDroplet(call.context.db, guid), invisible);
  return { app, droplet: row };
}

export async function listDroplets(
  db: Db,
  query: Query,
  only: OfApps | { packageGuid: string },
): Promise<Page<Droplet>> {
  const joined = db
    .selectFrom('droplets')
    .innerJoin('apps', 'apps.guid', 'droplets.app_guid')
    .innerJoin('spaces', 'spaces.guid', 'apps.space_guid')
    .selectAll('droplets');
  let select = narrowByApp(joined, 'droplets', query, 'packageGuid' in only ? null : only);
  if ('packageGuid' in only) select = select.where('droplets.package_guid', '=', only.packageGuid);
  if (query.values.get('current') === 'true') select = select.whereRef('droplets.guid', '=', 'apps.droplet_guid');
  const states = query.filters.get('states');
  if (states) select = select.where('droplets.state', 'in', states as Droplet['state'][]);
  return page(db, select, 'droplets', query);
}

const REDACTED = '[PRIVATE DATA HIDDEN IN LISTS]';

/** Lists hide the commands, which may carry secrets. */
export function dropletView(links: Links, droplet: Droplet, inList = false): Record<string, unknown> {
  const path = `/v3/droplets/${droplet.guid}`;
  const types = droplet.process_types;
  return {
    ...identityView(droplet),
    state: droplet.state,
    error: droplet.error,
    lifecycle: { type: droplet.docker_image === null ? 'buildpack' : 'docker', data: {} },
    checksum: droplet.sha256 === null ? null : { type: 'sha256', value: droplet.sha256 },
    buildpacks: droplet.docker_image === null ? droplet.buildpacks : null,
    stack: droplet.stack,
    image: droplet.docker_image,
    execution_metadata: inList ? REDACTED : droplet.execution_metadata,
    process_types: inList ? { redacted_message: REDACTED } : types,
    relationships: { app: toOne(droplet.app_guid) },
    metadata: metadataView(droplet),
    links: {
      self: links.to(path),
      app: links.to(`/v3/apps/${droplet.app_guid}`),
      assign_current_droplet: links.action(`/v3/apps/${droplet.app_guid}/relationships/current_droplet`, 'PATCH'),
      ...(droplet.package_guid === null ? {} : { package: links.to(`/v3/packages/${droplet.package_guid}`) }),
      ...(droplet.state === 'AWAITING_UPLOAD' ? { upload: links.action(`${path}/upload`, 'POST') } : {}),
      ...(droplet.state === 'STAGED' && droplet.docker_image === null
        ? { download: links.to(`${path}/download`) }
        : {}),
    },
  };
}
