import { sql } from 'kysely';
import { type Sees, seesBy } from '../authorization.ts';
import type { Guid } from '../guid.ts';
import { inSpaces, list, names, values, where } from '../listing.ts';
import { spaceFilter } from '../spaces/visibility.ts';
import { subject } from '../subject.ts';
import { findSpaceQuota, type SpaceQuota, selectSpaceQuotas } from './store.ts';
import { SpaceQuotaView, spaceQuotaView } from './view.ts';

function seen({ organizations, spaces }: Sees) {
  if (organizations.everything || spaces.everything) return null;
  return sql<boolean>`(space_quotas.organization_guid IN ${organizations.guids} OR space_quotas.guid IN
    (SELECT space_quota_guid FROM spaces WHERE guid IN ${spaces.guids}))`;
}

/** Those in a space see it only where it is applied to their space, as in the list. */
export const spaceQuota = subject('Space quota', {
  find: (db, guid: Guid<'space_quota'>, { caller }) =>
    findSpaceQuota(db, guid, seen(seesBy(caller, 'GET /v3/space_quotas'))),
  place: (row) => ({ organization: { guid: row.organization_guid, suspended: row.organization_suspended } }),
});

export const spaceQuotas = list('GET /v3/space_quotas', {
  table: 'space_quotas',
  from: selectSpaceQuotas,
  seen,
  orderBy: ['name'],
  filters: {
    names: names('space_quotas.name'),
    organization_guids: values('space_quotas.organization_guid'),
    space_guids: where((given, { caller }) => {
      const seenSpaces = inSpaces('spaces.guid')(seesBy(caller, 'GET /v3/spaces')) ?? sql`true`;
      return sql<boolean>`space_quotas.guid IN
        (SELECT space_quota_guid FROM spaces WHERE guid = ANY(${given}) AND ${seenSpaces})`;
    }),
  },
  view: SpaceQuotaView,
  async views({ context, caller }, rows: readonly SpaceQuota[]) {
    const guids = rows.flatMap((row) => row.space_guids);
    const visible = await spaceFilter(context.db, caller, guids);
    return rows.map((row) => spaceQuotaView(context.links, row, visible));
  },
});
