import { identityView, type Links, toOne } from '../view.ts';
import type { Organization } from './store.ts';

export function organizationView(links: Links, organization: Organization): Record<string, unknown> {
  const path = `/v3/organizations/${organization.guid}`;
  return {
    ...identityView(organization),
    name: organization.name,
    suspended: organization.suspended,
    relationships: { quota: toOne(organization.quota_guid) },
    metadata: { labels: organization.labels, annotations: organization.annotations },
    links: {
      self: links.to(path),
      domains: links.to(`${path}/domains`),
      default_domain: links.to(`${path}/domains/default`),
      quota: links.to(`/v3/organization_quotas/${organization.quota_guid}`),
    },
  };
}
