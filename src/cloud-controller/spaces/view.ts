import { type Static, Type } from 'typebox';
import {
  ActionLink,
  IDENTITY,
  identityView,
  Link,
  type Links,
  MetadataView,
  metadataView,
  ToOneView,
  toOne,
} from '../view.ts';
import type { Space } from './store.ts';

export const SpaceView = Type.Object(
  {
    ...IDENTITY,
    name: Type.String(),
    relationships: Type.Object({ organization: ToOneView, quota: ToOneView }),
    metadata: MetadataView,
    links: Type.Object({
      self: Link,
      organization: Link,
      features: Link,
      apply_manifest: ActionLink,
      quota: Type.Optional(Link),
    }),
  },
  { title: 'Space' },
);

export const FeatureView = Type.Object(
  { name: Type.String(), description: Type.String(), enabled: Type.Boolean() },
  { title: 'Feature' },
);

export function spaceView(links: Links, space: Space): Static<typeof SpaceView> {
  const path = `/v3/spaces/${space.guid}`;
  const quota = space.space_quota_guid;
  return {
    ...identityView(space),
    name: space.name,
    relationships: { organization: toOne(space.organization_guid), quota: toOne(quota) },
    metadata: metadataView(space),
    links: {
      self: links.to(path),
      organization: links.to(`/v3/organizations/${space.organization_guid}`),
      features: links.to(`${path}/features`),
      apply_manifest: links.action(`${path}/actions/apply_manifest`, 'POST'),
      ...(quota === null ? {} : { quota: links.to(`/v3/space_quotas/${quota}`) }),
    },
  };
}

export function sshFeatureView(space: Pick<Space, 'allow_ssh'>): Static<typeof FeatureView> {
  return { name: 'ssh', description: 'Enable SSHing into apps in the space.', enabled: space.allow_ssh };
}
