import { inOrganizations, list, names } from '../listing.ts';
import { subject } from '../subject.ts';
import { findOrganization, type Organization } from './store.ts';
import { OrganizationView, organizationView } from './view.ts';

export const organization = subject('Organization', {
  find: findOrganization,
  place: (row) => ({ organization: row }),
});

export const organizations = list('GET /v3/organizations', {
  table: 'organizations',
  from: (db) => db.selectFrom('organizations').selectAll('organizations'),
  seen: inOrganizations('organizations.guid'),
  labels: true,
  orderBy: ['name'],
  filters: { names: names('organizations.name') },
  view: OrganizationView,
  views: ({ context }, rows: readonly Organization[]) => rows.map((row) => organizationView(context.links, row)),
});
