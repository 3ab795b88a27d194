import { type Static, Type } from 'typebox';
import {
  IDENTITY,
  identityView,
  Link,
  type Links,
  MetadataView,
  metadataView,
  ToOneView,
  timestamp,
  toOne,
} from '../view.ts';
import { addressOf, type Destination, type Route } from './store.ts';

export const DestinationView = Type.Object(
  {
    ...IDENTITY,
    app: Type.Object({ guid: Type.String(), process: Type.Object({ type: Type.String() }) }),
    weight: Type.Union([Type.Integer(), Type.Null()]),
    port: Type.Integer(),
    protocol: Type.String(),
  },
  { title: 'Destination' },
);

export const RouteView = Type.Object(
  {
    ...IDENTITY,
    protocol: Type.String(),
    host: Type.String(),
    path: Type.String(),
    port: Type.Union([Type.Integer(), Type.Null()]),
    url: Type.String(),
    destinations: Type.Array(DestinationView),
    options: Type.Object({ loadbalancing: Type.Optional(Type.String()) }),
    metadata: MetadataView,
    relationships: Type.Object({ space: ToOneView, domain: ToOneView }),
    links: Type.Object({ self: Link, space: Link, destinations: Link, domain: Link }),
  },
  { title: 'Route' },
);

export const DestinationsView = Type.Object(
  {
    destinations: Type.Array(DestinationView),
    links: Type.Object({ self: Link, route: Link }),
  },
  { title: 'Destinations' },
);

export function routeView(links: Links, route: Route, destinations: readonly Destination[]): Static<typeof RouteView> {
  const path = `/v3/routes/${route.guid}`;
  return {
    ...identityView(route),
    protocol: 'http',
    host: route.host,
    path: route.path,
    port: route.port === 0 ? null : route.port,
    url: addressOf(route),
    destinations: destinations.map(destinationView),
    options: route.options,
    metadata: metadataView(route),
    relationships: { space: toOne(route.space_guid), domain: toOne(route.domain_guid) },
    links: {
      self: links.to(path),
      space: links.to(`/v3/spaces/${route.space_guid}`),
      destinations: links.to(`${path}/destinations`),
      domain: links.to(`/v3/domains/${route.domain_guid}`),
    },
  };
}

export function destinationView(destination: Destination): Static<typeof DestinationView> {
  return {
    guid: destination.guid,
    app: { guid: destination.app_guid, process: { type: destination.process_type } },
    weight: destination.weight,
    port: destination.port,
    protocol: destination.protocol,
    created_at: timestamp(destination.created_at),
    updated_at: timestamp(destination.updated_at),
  };
}

export function destinationsView(
  links: Links,
  { guid }: Pick<Route, 'guid'>,
  destinations: readonly Destination[],
): Static<typeof DestinationsView> {
  const path = `/v3/routes/${guid}`;
  return {
    destinations: destinations.map(destinationView),
    links: { self: links.to(`${path}/destinations`), route: links.to(path) },
  };
}
