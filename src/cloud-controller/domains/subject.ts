import { authorize, type Caller } from '../authorization.ts';
import type { Db } from '../database.ts';
import { unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { list, lowerCase, values } from '../listing.ts';
import { organizationFilter } from '../organizations/visibility.ts';
import { subject } from '../subject.ts';
import { type Domain, findDomain, selectDomains, usableIn } from './store.ts';
import { DomainView, domainView } from './view.ts';

/** A private one is seen from its owner and from the organizations it is shared to. */
export const domain = subject('Domain', {
  find: findDomain,
  place: ({ organization_guid: guid, organization_suspended: suspended, shared_organization_guids: sharedTo }) =>
    guid === null ? 'foundation' : { organization: { guid, suspended: suspended ?? false }, sharedTo },
});

/** One that a body names. Throws UnprocessableEntity alike where there is none and where the caller does not see it. */
export async function visibleDomain(db: Db, caller: Caller, guid: Guid<'domain'>): Promise<Domain> {
  const invalid = unprocessable('Invalid domain. Ensure that the domain exists and you have access to it.');
  const found = await findDomain(db, guid);
  const place = found && domain.place(found);
  if (!place) throw invalid;
  if (place !== 'foundation') await authorize(db, caller, 'GET /v3/domains/:guid', place, invalid);
  return found;
}

export const domains = list('GET /v3/domains', {
  table: 'domains',
  from: selectDomains,
  seen: ({ organizations }) => (organizations.everything ? null : usableIn(organizations.guids)),
  labels: true,
  filters: { names: lowerCase('domains.name'), organization_guids: values('domains.organization_guid') },
  view: DomainView,
  async views({ context, caller }, rows: readonly Domain[]) {
    const visible = await organizationFilter(context.db, caller);
    return rows.map((row) => domainView(context.links, row, visible));
  },
});
