import type { Db } from '../database.ts';
import type { RecipeRoute } from './recipe.ts';
import { isWithin, type Within } from './within.ts';

/** The routes of processes of these apps by "<app guid>/<process type>", as Diego wants them, in a stable order. */
export async function routesByProcess(db: Db, within: Within): Promise<ReadonlyMap<string, RecipeRoute[]>> {
  const rows = await db
    .selectFrom('route_destinations')
    .innerJoin('routes', 'routes.guid', 'route_destinations.route_guid')
    .innerJoin('domains', 'domains.guid', 'routes.domain_guid')
    .select([
      'routes.guid',
      'routes.host',
      'routes.path',
      'domains.name as domain',
      'route_destinations.app_guid as app',
      'route_destinations.process_type as type',
      'route_destinations.port',
      'route_destinations.protocol',
    ])
    // Internal domains are answered by the platform's DNS and never by the router.
    .where('domains.internal', '=', false)
    .where(isWithin('route_destinations.app_guid', within))
    .orderBy('route_destinations.id')
    .execute();
  const routes = new Map<string, RecipeRoute[]>();
  for (const row of rows) {
    const key = `${row.app}/${row.type}`;
    const host = row.host === '' ? row.domain : `${row.host}.${row.domain}`;
    const route = { guid: row.guid, host, path: row.path, port: row.port, protocol: row.protocol };
    routes.set(key, [...(routes.get(key) ?? []), route]);
  }
  return routes;
}
