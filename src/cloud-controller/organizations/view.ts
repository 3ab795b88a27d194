import { type Static, Type } from 'typebox';
import { IDENTITY, identityView, Link, type Links, MetadataView, metadataView, ToOneView, toOne } from '../view.ts';
import type { Organization } from './store.ts';

export const OrganizationView = Type.Object(
  {
    ...IDENTITY,
    name: Type.String(),
    suspended: Type.Boolean(),
    relationships: Type.Object({ quota: ToOneView }),
    metadata: MetadataView,
    links: Type.Object({ self: Link, domains: Link, default_domain: Link, quota: Link }),
  },
  { title: 'Organization' },
);

export function organizationView(links: Links, organization: Organization): Static<typeof OrganizationView> {
  const path = `/v3/organizations/${organization.guid}`;
  return {
    ...identityView(organization),
    name: organization.name,
    suspended: organization.suspended,
    relationships: { quota: toOne(organization.quota_guid) },
    metadata: metadataView(organization),
    links: {
      self: links.to(path),
      domains: links.to(`${path}/domains`),
      default_domain: links.to(`${path}/domains/default`),
      quota: links.to(`/v3/organization_quotas/${organization.quota_guid}`),
    },
  };
}
