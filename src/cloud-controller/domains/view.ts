import { type Static, Type } from 'typebox';
import type { Guid } from '../guid.ts';
import {
  IDENTITY,
  identityView,
  Link,
  type Links,
  MetadataView,
  metadataView,
  ToManyView,
  ToOneView,
  toMany,
  toOne,
} from '../view.ts';
import type { Domain } from './store.ts';

export const DomainView = Type.Object(
  {
    ...IDENTITY,
    name: Type.String(),
    internal: Type.Boolean(),
    router_group: Type.Null(),
    supported_protocols: Type.Array(Type.String()),
    relationships: Type.Object({ organization: ToOneView, shared_organizations: ToManyView }),
    metadata: MetadataView,
    links: Type.Object({
      self: Link,
      route_reservations: Link,
      organization: Type.Optional(Link),
      shared_organizations: Type.Optional(Link),
    }),
  },
  { title: 'Domain' },
);

/** `visible` says which of the organizations it is shared to the caller may know of. */
export function domainView(
  links: Links,
  domain: Domain,
  visible: (organizationGuid: Guid<'organization'>) => boolean,
): Static<typeof DomainView> {
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
    metadata: metadataView(domain),
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
