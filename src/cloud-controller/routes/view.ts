import { identityView, type Links, timestamp, toOne } from '../view.ts';
import { addressOf, type Destination, type Route } from './store.ts';

export function routeView(links: Links, route: Route, destinations: readonly Destination[]): Record<string, unknown> {
  const path = `/v3/routes/${route.guid}`;
  return {
    ...identityView(route),
    protocol: 'http',
    host: route.host,
    path: route.path,
    port: route.port === 0 ? null : route.port,
    url: addressOf(route),
    destinations: destinations.map(destinationView),
    options: {},
    metadata: { labels: route.labels, annotations: route.annotations },
    relationships: { space: toOne(route.space_guid), domain: toOne(route.domain_guid) },
    links: {
      self: links.to(path),
      space: links.to(`/v3/spaces/${route.space_guid}`),
      destinations: links.to(`${path}/destinations`),
      domain: links.to(`/v3/domains/${route.domain_guid}`),
    },
  };
}

export function destinationView(destination: Destination): Record<string, unknown> {
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

export function destinationsView(links: Links, routeGuid: string, destinations: readonly Destination[]) {
  const path = `/v3/routes/${routeGuid}`;
  return {
    destinations: destinations.map(destinationView),
    links: { self: links.to(`${path}/destinations`), route: links.to(path) },
  };
}
