import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import { now } from '../database.ts';
import { organizationFilter } from '../domains/access.ts';
import { findDomain, findDomains } from '../domains/store.ts';
import { domainView } from '../domains/view.ts';
import { invalidSpace, notFound, unprocessable } from '../errors.ts';
import { requireFeature } from '../feature-flags/store.ts';
import { listView } from '../list.ts';
import { type Call, created, noContent, ok, operation } from '../operation.ts';
import { findOrganizations } from '../organizations/store.ts';
import { organizationView } from '../organizations/view.ts';
import type { OperationId } from '../permissions.ts';
import { toManyView } from '../relationships.ts';
import { authorizedSpace } from '../spaces/operations.ts';
import { findSpace, findSpaces, placeOf } from '../spaces/store.ts';
import { spaceView } from '../spaces/view.ts';
import { createRoute } from './create.ts';
import { announceRoutes } from './delete.ts';
import {
  addDestinations,
  noSuchDestination,
  removeDestination,
  replaceDestinations,
  targetsOf,
} from './destinations.ts';
import { AddDestinations, CreateRoute, ReplaceDestinations, UpdateDestination, UpdateRoute } from './schema.ts';
import { destinationsOf, findRoute, listRoutes, placeOfRoute, type Route, routeQuery, updateRoute } from './store.ts';
import { destinationsView, destinationView, routeView } from './view.ts';

async function authorizedRoute<Id extends OperationId>(call: Call<Id, unknown>, guid: string): Promise<Route> {
  const missing = notFound('Route');
  const route = await findRoute(call.context.db, guid);
  if (!route) throw missing;
  await call.authorize(placeOfRoute(route), missing);
  return route;
}

export const routeOperations = [
  operation({
    id: 'GET /v3/routes',
    query: routeQuery,
    async run(call) {
      const { db, links } = call.context;
      const found = await listRoutes(db, call.query, call.visibleSpaces());
      const destinations = await destinationsOf(
        db,
        found.rows.map((row) => row.guid),
      );
      const included = await includedWith(call, found.rows);
      const view = (row: Route) => routeView(links, row, destinations.get(row.guid) ?? []);
      return ok(listView(links, '/v3/routes', call.query, found, view, included));
    },
  }),

  operation({
    id: 'POST /v3/routes',
    body: CreateRoute,
    async run(call) {
      const { context, body } = call;
      const space = await findSpace(context.db, body.relationships.space.data.guid);
      if (!space) throw invalidSpace();
      await call.authorize(placeOf(space), invalidSpace());
      if (!call.isAdmin) await requireFeature(context.db, 'route_creation');
      const domain = await findDomain(context.db, body.relationships.domain.data.guid);
      if (!domain) throw unprocessable('Invalid domain. Ensure that the domain exists and you have access to it.');
      if ((body.port ?? 0) !== 0) throw unprocessable("Routes with protocol 'http' do not support ports.");
      const route = await createRoute(
        context,
        { space, domain, host: body.host ?? '', path: body.path ?? '', metadata: body.metadata },
        { actor: call.actor, isAdmin: call.isAdmin, request: { ...body } },
      );
      return created(routeView(context.links, route, []));
    },
  }),

  operation({
    id: 'GET /v3/routes/:guid',
    query: { include: routeQuery.include },
    async run(call) {
      const { db, links } = call.context;
      const route = await authorizedRoute(call, call.params.guid);
      const destinations = (await destinationsOf(db, [route.guid])).get(route.guid) ?? [];
      const included = await includedWith(call, [route]);
      return ok({ ...routeView(links, route, destinations), ...(included ? { included } : {}) });
    },
  }),

  operation({
    id: 'PATCH /v3/routes/:guid',
    body: UpdateRoute,
    async run(call) {
      const { db, links } = call.context;
      const route = await authorizedRoute(call, call.params.guid);
      await db.transaction().execute(async (trx) => {
        await updateRoute(trx, route, call.body.metadata);
        await recordEvent(trx, routeEvent(call.actor, 'update', route, call.body));
      });
      const updated = (await findRoute(db, route.guid)) ?? route;
      return ok(routeView(links, updated, (await destinationsOf(db, [route.guid])).get(route.guid) ?? []));
    },
  }),

  operation({
    id: 'DELETE /v3/routes/:guid',
    async run(call) {
      const route = await authorizedRoute(call, call.params.guid);
      const resource = { type: 'route', guid: route.guid };
      return call.accepted(await call.context.jobs.enqueue({ operation: 'route.delete', actor: call.actor, resource }));
    },
  }),

  operation({
    id: 'DELETE /v3/spaces/:guid/routes',
    query: { values: ['unmapped'] },
    async run(call) {
      const space = await authorizedSpace(call, call.params.guid);
      if (call.query.values.get('unmapped') !== 'true') {
        throw unprocessable(
          "Mass delete not supported for mapped routes. Use 'unmapped' parameter set to 'true' to delete unmapped routes.",
        );
      }
      const resource = { type: 'space', guid: space.guid };
      return call.accepted(
        await call.context.jobs.enqueue({ operation: 'space.delete_unmapped_routes', actor: call.actor, resource }),
      );
    },
  }),

  operation({
    id: 'GET /v3/routes/:guid/destinations',
    query: { filters: ['guids', 'app_guids'] },
    async run(call) {
      const { db, links } = call.context;
      const route = await authorizedRoute(call, call.params.guid);
      const guids = call.query.filters.get('guids');
      const apps = call.query.filters.get('app_guids');
      const all = (await destinationsOf(db, [route.guid])).get(route.guid) ?? [];
      const found = all.filter(
        (item) => (guids?.includes(item.guid) ?? true) && (apps?.includes(item.app_guid) ?? true),
      );
      return ok(destinationsView(links, route.guid, found));
    },
  }),

  operation({
    id: 'POST /v3/routes/:guid/destinations',
    body: AddDestinations,
    async run(call) {
      const route = await authorizedRoute(call, call.params.guid);
      const after = await addDestinations(call.context, route, targetsOf(call.body), call.actor);
      return ok(destinationsView(call.context.links, route.guid, after));
    },
  }),

  operation({
    id: 'PATCH /v3/routes/:guid/destinations',
    body: ReplaceDestinations,
    async run(call) {
      const route = await authorizedRoute(call, call.params.guid);
      const after = await replaceDestinations(call.context, route, targetsOf(call.body), call.actor);
      return ok(destinationsView(call.context.links, route.guid, after));
    },
  }),

  operation({
    id: 'PATCH /v3/routes/:guid/destinations/:destination_guid',
    body: UpdateDestination,
    async run(call) {
      const { context, params } = call;
      const route = await authorizedRoute(call, params.guid);
      const updated = await context.db.transaction().execute(async (trx) => {
        const row = await trx
          .updateTable('route_destinations')
          .set({ protocol: call.body.protocol ?? 'http1', updated_at: now })
          .where('route_guid', '=', route.guid)
          .where('guid', '=', params.destination_guid)
          .returningAll()
          .executeTakeFirst();
        if (row)
          await recordEvent(trx, routeEvent(call.actor, 'update', route, { destination: row.guid, ...call.body }));
        return row;
      });
      if (!updated) throw noSuchDestination();
      await announceRoutes(context, [updated.app_guid]);
      const path = `/v3/routes/${route.guid}`;
      const links = { destinations: context.links.to(`${path}/destinations`), route: context.links.to(path) };
      return ok({ ...destinationView(updated), links });
    },
  }),

  operation({
    id: 'DELETE /v3/routes/:guid/destinations/:destination_guid',
    async run(call) {
      const route = await authorizedRoute(call, call.params.guid);
      await removeDestination(call.context, route, call.params.destination_guid, call.actor);
      return noContent();
    },
  }),

  operation({
    id: 'GET /v3/routes/:guid/relationships/shared_spaces',
    async run(call) {
      const route = await authorizedRoute(call, call.params.guid);
      return ok(toManyView(call.context.links, `/v3/routes/${route.guid}/relationships/shared_spaces`, []));
    },
  }),
];

async function includedWith(call: Call<OperationId, unknown>, routes: readonly Route[]) {
  const { include } = call.query;
  if (include.size === 0) return undefined;
  const { db, links } = call.context;
  const distinct = (guids: readonly string[]) => [...new Set(guids)];
  const included: Record<string, unknown[]> = {};
  if (include.has('domain')) {
    const rows = await findDomains(db, distinct(routes.map((route) => route.domain_guid)));
    const visible = await organizationFilter(db, call.caller);
    included['domains'] = rows.map((row) => domainView(links, row, visible));
  }
  if (include.has('space') || include.has('space.organization')) {
    const rows = await findSpaces(db, distinct(routes.map((route) => route.space_guid)));
    included['spaces'] = rows.map((row) => spaceView(links, row));
  }
  if (include.has('space.organization')) {
    const rows = await findOrganizations(db, distinct(routes.map((route) => route.organization_guid)));
    included['organizations'] = rows.map((row) => organizationView(links, row));
  }
  return included;
}

function routeEvent(actor: Actor, verb: string, route: Route, request: object) {
  return {
    type: `audit.route.${verb}`,
    actor,
    target: { guid: route.guid, type: 'route', name: route.host },
    organizationGuid: route.organization_guid,
    spaceGuid: route.space_guid,
    data: { request: { ...request } },
  };
}
