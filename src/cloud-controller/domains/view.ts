import { identityView, type Links, toMany, toOne } from '../view.ts';
import type { Domain } from './store.ts';

/** `visible` says which of the organizations it is shared to the caller may know of. */
export function domainView(links: Links, domain: Domain, visible: (organizationGuid: string) => boolean) {
  const path = `/v3/domains/${domain.guid}`;
  const owner = domain.organization_guid;
  return {
    ...identityView(domain),
    name: domain.name,
    internal: domain.internal,
    router_group: null,
    supported_protocols: ['http'],
    relationships: {
      organization: toOne(owner),
      shared_organizations: toMany(domain.shared_organization_guids.filter(visible)),
    },
    metadata: { labels: domain.labels, annotations: domain.annotations },
    links: {
      self: links.to(path),
      route_reservations: links.to(`${path}/route_reservations`),
      ...(owner === null
        ? {}
        : {
            organization: links.to(`/v3/organizations/${owner}`),
            shared_organizations: links.to(`${path}/relationships/shared_organizations`),
          }),
    },
  };
}
