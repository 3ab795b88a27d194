import { sql } from 'kysely';
import { placeInSpace } from '../authorization.ts';
import { domains } from '../domains/subject.ts';
import { inSpaces, list, lowerCase, values, where } from '../listing.ts';
import { organizations } from '../organizations/subject.ts';
import { spaces } from '../spaces/subject.ts';
import { subject } from '../subject.ts';
import { destinationsOf, findRoute, leadTo, type Route, selectRoutes } from './store.ts';
import { RouteView, routeView } from './view.ts';

export const route = subject('Route', { find: findRoute, place: placeInSpace });

const ownSpace = [spaces, (row: Route) => row.space_guid] as const;

export const routes = list('GET /v3/routes', {
  table: 'routes',
  from: selectRoutes,
  seen: inSpaces('routes.space_guid'),
  labels: true,
  filters: {
    hosts: lowerCase('routes.host'),
    paths: values('routes.path'),
    ports: where((given) => sql<boolean>`routes.port::text = ANY(${given})`),
    domain_guids: values('routes.domain_guid'),
    space_guids: values('routes.space_guid'),
    organization_guids: values('spaces.organization_guid'),
    app_guids: where(leadTo),
    // No service instance is bound to a route yet.
    service_instance_guids: where(() => sql<boolean>`false`),
  },
  include: {
    domain: [[domains, (row) => row.domain_guid]],
    space: [ownSpace],
    'space.organization': [ownSpace, [organizations, (row) => row.organization_guid]],
  },
  view: RouteView,
  async views({ context }, rows: readonly Route[]) {
    const destinations = await destinationsOf(
      context.db,
      rows.map((row) => row.guid),
    );
    return rows.map((row) => routeView(context.links, row, destinations.get(row.guid) ?? []));
  },
});
