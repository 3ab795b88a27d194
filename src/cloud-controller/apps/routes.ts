import { listView } from '../list.ts';
import { ok, operation } from '../operation.ts';
import { destinationsOf, listRoutes, type Route, routeQuery } from '../routes/store.ts';
import { routeView } from '../routes/view.ts';
import { authorizeApp } from './store.ts';

export const appRouteOperations = [
  operation({
    id: 'GET /v3/apps/:guid/routes',
    query: routeQuery,
    async run(call) {
      const { db, links } = call.context;
      const app = await authorizeApp(call, call.params.guid);
      const filters = new Map(call.query.filters).set('app_guids', [app.guid]);
      const found = await listRoutes(db, { ...call.query, filters }, { everything: true });
      const destinations = await destinationsOf(
        db,
        found.rows.map((row) => row.guid),
      );
      const view = (row: Route) => routeView(links, row, destinations.get(row.guid) ?? []);
      return ok(listView(links, `/v3/apps/${app.guid}/routes`, call.query, found, view));
    },
  }),
];
