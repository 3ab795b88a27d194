import { sql } from 'kysely';
import { seesBy } from '../authorization.ts';
import { inOrganizations, list, names, where } from '../listing.ts';
import { organizationFilter } from '../organizations/visibility.ts';
import { placeless } from '../subject.ts';
import { findOrganizationQuota, type OrganizationQuota, selectOrganizationQuotas } from './store.ts';
import { OrganizationQuotaView, organizationQuotaView } from './view.ts';

/** Everybody sees each, and of the organizations it is applied to their own. */
export const organizationQuota = placeless('Organization quota', findOrganizationQuota);

export const organizationQuotas = list('GET /v3/organization_quotas', {
  table: 'organization_quotas',
  from: selectOrganizationQuotas,
  seen: () => null,
  orderBy: ['name'],
  filters: {
    names: names('organization_quotas.name'),
    organization_guids: where((given, { caller }) => {
      const seen = inOrganizations('organizations.guid')(seesBy(caller, 'GET /v3/organizations')) ?? sql`true`;
      return sql<boolean>`organization_quotas.guid IN
        (SELECT quota_guid FROM organizations WHERE guid = ANY(${given}) AND ${seen})`;
    }),
  },
  view: OrganizationQuotaView,
  async views({ context, caller }, rows: readonly OrganizationQuota[]) {
    const visible = await organizationFilter(context.db, caller);
    return rows.map((row) => organizationQuotaView(context.links, row, visible));
  },
});
