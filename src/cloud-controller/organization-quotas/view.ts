import { type Static, Type } from 'typebox';
import type { Guid } from '../guid.ts';
import { LIMITS_VIEW, LimitView, limitsView } from '../quotas/view.ts';
import { IDENTITY, identityView, Link, type Links, ToManyView, toMany } from '../view.ts';
import type { OrganizationQuota } from './store.ts';

export const OrganizationQuotaView = Type.Object(
  {
    ...IDENTITY,
    name: Type.String(),
    ...LIMITS_VIEW,
    domains: Type.Object({ total_domains: LimitView }),
    relationships: Type.Object({ organizations: ToManyView }),
    links: Type.Object({ self: Link }),
  },
  { title: 'OrganizationQuota' },
);

/** `visible` says which organizations the caller may know of. */
export function organizationQuotaView(
  links: Links,
  quota: OrganizationQuota,
  visible: (guid: Guid<'organization'>) => boolean,
): Static<typeof OrganizationQuotaView> {
  return {
    ...identityView(quota),
    name: quota.name,
    ...limitsView(quota),
    domains: { total_domains: quota.total_domains },
    relationships: { organizations: toMany(quota.organization_guids.filter(visible)) },
    links: { self: links.to(`/v3/organization_quotas/${quota.guid}`) },
  };
}
