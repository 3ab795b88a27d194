import { identityView, type Links, toOne } from '../view.ts';
import type { Space } from './store.ts';

export function spaceView(links: Links, space: Space): Record<string, unknown> {
  const path = `/v3/spaces/${space.guid}`;
  const quota = space.space_quota_guid;
  return {
    ...identityView(space),
    name: space.name,
    relationships: { organization: toOne(space.organization_guid), quota: toOne(quota) },
    metadata: { labels: space.labels, annotations: space.annotations },
    links: {
      self: links.to(path),
      organization: links.to(`/v3/organizations/${space.organization_guid}`),
      features: links.to(`${path}/features`),
      apply_manifest: links.action(`${path}/actions/apply_manifest`, 'POST'),
      ...(quota === null ? {} : { quota: links.to(`/v3/space_quotas/${quota}`) }),
    },
  };
}

export function sshFeatureView(space: Space): Record<string, unknown> {
  return { name: 'ssh', description: 'Enable SSHing into apps in the space.', enabled: space.allow_ssh };
}
