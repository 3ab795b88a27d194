import { type Static, Type } from 'typebox';
import type { Guid } from '../guid.ts';
import { LIMITS_VIEW, limitsView } from '../quotas/view.ts';
import { IDENTITY, identityView, Link, type Links, ToManyView, ToOneView, toMany, toOne } from '../view.ts';
import type { SpaceQuota } from './store.ts';

export const SpaceQuotaView = Type.Object(
  {
    ...IDENTITY,
    name: Type.String(),
    ...LIMITS_VIEW,
    relationships: Type.Object({ organization: ToOneView, spaces: ToManyView }),
    links: Type.Object({ self: Link, organization: Link }),
  },
  { title: 'SpaceQuota' },
);

/** `visible` says which spaces the caller may know of. */
export function spaceQuotaView(
  links: Links,
  quota: SpaceQuota,
  visible: (guid: Guid<'space'>) => boolean,
): Static<typeof SpaceQuotaView> {
  return {
    ...identityView(quota),
    name: quota.name,
    ...limitsView(quota),
    relationships: {
      organization: toOne(quota.organization_guid),
      spaces: toMany(quota.space_guids.filter(visible)),
    },
    links: {
      self: links.to(`/v3/space_quotas/${quota.guid}`),
      organization: links.to(`/v3/organizations/${quota.organization_guid}`),
    },
  };
}
