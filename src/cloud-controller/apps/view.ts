import { identityView, type Links, toOne } from '../view.ts';
import type { App } from './store.ts';
import type { Lifecycle } from './tables.ts';

export function lifecycleView(row: { lifecycle: Lifecycle; buildpacks: readonly string[]; stack: string | null }) {
  if (row.lifecycle === 'docker') return { type: 'docker', data: {} };
  return { type: 'buildpack', data: { buildpacks: row.buildpacks, stack: row.stack } };
}

export function metadataView(row: { labels: unknown; annotations: unknown }) {
  return { labels: row.labels, annotations: row.annotations };
}

export function appView(links: Links, app: App): Record<string, unknown> {
  const path = `/v3/apps/${app.guid}`;
  return {
    ...identityView(app),
    name: app.name,
    state: app.state,
    lifecycle: lifecycleView(app),
    relationships: {
      space: toOne(app.space_guid),
      current_droplet: toOne(app.droplet_guid),
    },
    metadata: metadataView(app),
    links: {
      self: links.to(path),
      environment_variables: links.to(`${path}/environment_variables`),
      space: links.to(`/v3/spaces/${app.space_guid}`),
      processes: links.to(`${path}/processes`),
      packages: links.to(`${path}/packages`),
      current_droplet: links.to(`${path}/droplets/current`),
      droplets: links.to(`${path}/droplets`),
      tasks: links.to(`${path}/tasks`),
      start: links.action(`${path}/actions/start`, 'POST'),
      stop: links.action(`${path}/actions/stop`, 'POST'),
      clear_buildpack_cache: links.action(`${path}/actions/clear_buildpack_cache`, 'POST'),
      revisions: links.to(`${path}/revisions`),
      deployed_revisions: links.to(`${path}/revisions/deployed`),
      features: links.to(`${path}/features`),
    },
  };
}
