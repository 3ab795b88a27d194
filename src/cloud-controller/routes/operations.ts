import { Type } from 'typebox';
import { app } from '../apps/subject.ts';
import { recordEvent } from '../audit-events/store.ts';
import { visibleDomain } from '../domains/subject.ts';
import { invalidSpace, unprocessable } from '../errors.ts';
import { created, noContent, ok, operation } from '../operation.ts';
import { RelationshipToMany, toManyView } from '../relationships.ts';
import { space } from '../spaces/subject.ts';
import { deletes, lists, shown, shows } from '../standard.ts';
import { inBody } from '../subject.ts';
import { Link } from '../view.ts';
import { createRoute } from './create.ts';
import {
  addDestinations,
  noSuchDestination,
  removeDestination,
  replaceDestinations,
  targetsOf,
} from './destinations.ts';
import { routeEvent } from './events.ts';
import { mergeOptions } from './options.ts';
import { requireProtocol } from './protocols.ts';
import { AddDestinations, CreateRoute, ReplaceDestinations, UpdateDestination, UpdateRoute } from './schema.ts';
import { destinationsOf, leadTo, setProtocol, updateRoute } from './store.ts';
import { route, routes } from './subject.ts';
import { DestinationsView, DestinationView, destinationsView, destinationView, RouteView } from './view.ts';

export const routeOperations = [
  operation('GET /v3/routes', lists(routes)),

  operation('GET /v3/apps/:guid/routes', lists(routes, { on: app, inside: ({ guid }) => leadTo([guid]) })),

  operation('POST /v3/routes', {
    on: { space: inBody('relationships.space', space, invalidSpace) },
    body: CreateRoute,
    answers: { 201: RouteView },
    async run(call) {
      const { actor, body, caller, context, isAdmin, subject } = call;
      const { host, path, port, options, metadata, relationships } = body;
      const domain = await visibleDomain(context.db, caller, relationships.domain.data.guid);
      if ((port ?? 0) !== 0) throw unprocessable("Routes with protocol 'http' do not support ports.");
      const made = await createRoute(
        context,
        {
          space: subject.space,
          domain,
          host: host ?? '',
          path: path ?? '',
          options: mergeOptions({}, options),
          metadata,
        },
        { actor, isAdmin, request: { ...body } },
      );
      return created(await shown(call, routes, made));
    },
  }),

  operation('GET /v3/routes/:guid', shows(route, routes)),

  operation('PATCH /v3/routes/:guid', {
    on: route,
    body: UpdateRoute,
    answers: { 200: RouteView },
    async run(call) {
      const { body, subject } = call;
      const updated = await call.context.db.transaction().execute(async (trx) => {
        await recordEvent(trx, routeEvent('audit.route.update', call.actor, subject, { request: body }));
        return updateRoute(trx, subject.guid, body);
      });
      return ok(await shown(call, routes, updated));
    },
  }),

  operation('DELETE /v3/routes/:guid', deletes(route, 'route')),

  operation('DELETE /v3/spaces/:guid/routes', {
    on: space,
    query: { values: ['unmapped'] },
    answers: { 202: null },
    async run(call) {
      if (call.query.values.get('unmapped') !== 'true') {
        throw unprocessable(
          "Mass delete not supported for mapped routes. Use 'unmapped' parameter set to 'true' to delete unmapped routes.",
        );
      }
      return call.enqueue('space.delete_unmapped_routes', { type: 'space', guid: call.subject.guid });
    },
  }),

  operation('GET /v3/routes/:guid/destinations', {
    on: route,
    query: { filters: ['guids', 'app_guids'] },
    answers: { 200: DestinationsView },
    async run({ context, query, subject }) {
      const guids = query.filters.get('guids');
      const apps = query.filters.get('app_guids');
      const all = (await destinationsOf(context.db, [subject.guid])).get(subject.guid) ?? [];
      const found = all.filter(
        (item) => (guids?.includes(item.guid) ?? true) && (apps?.includes(item.app_guid) ?? true),
      );
      return ok(destinationsView(context.links, subject, found));
    },
  }),

  operation('POST /v3/routes/:guid/destinations', {
    on: route,
    body: AddDestinations,
    answers: { 200: DestinationsView },
    async run({ actor, body, context, subject }) {
      const after = await addDestinations(context, subject, targetsOf(body), actor);
      return ok(destinationsView(context.links, subject, after));
    },
  }),

  operation('PATCH /v3/routes/:guid/destinations', {
    on: route,
    body: ReplaceDestinations,
    answers: { 200: DestinationsView },
    async run({ actor, body, context, subject }) {
      const after = await replaceDestinations(context, subject, targetsOf(body), actor);
      return ok(destinationsView(context.links, subject, after));
    },
  }),

  operation('PATCH /v3/routes/:guid/destinations/:destination_guid', {
    on: route,
    body: UpdateDestination,
    answers: {
      200: Type.Evaluate(
        Type.Intersect([DestinationView, Type.Object({ links: Type.Object({ destinations: Link, route: Link }) })]),
      ),
    },
    async run({ actor, body, context, params, subject }) {
      requireProtocol(context.settings, body.protocol);
      const updated = await context.db.transaction().execute(async (trx) => {
        const row = await setProtocol(trx, subject, params.destination_guid, body.protocol ?? 'http1');
        if (!row) throw noSuchDestination();
        await recordEvent(
          trx,
          routeEvent('audit.route.update', actor, subject, { request: { destination: row.guid, ...body } }),
        );
        return row;
      });
      context.changed([updated.app_guid]);
      const path = `/v3/routes/${subject.guid}`;
      const links = { destinations: context.links.to(`${path}/destinations`), route: context.links.to(path) };
      return ok({ ...destinationView(updated), links });
    },
  }),

  operation('DELETE /v3/routes/:guid/destinations/:destination_guid', {
    on: route,
    answers: { 204: null },
    async run({ actor, context, params, subject }) {
      await removeDestination(context, subject, params.destination_guid, actor);
      return noContent();
    },
  }),

  operation('GET /v3/routes/:guid/relationships/shared_spaces', {
    on: route,
    answers: { 200: RelationshipToMany },
    run: async ({ context, path }) => ok(toManyView(context.links, path, [])),
  }),
];
