import { type Selectable, type SelectQueryBuilder, sql } from 'kysely';
import type { Place, Visible } from '../authorization.ts';
import { type Database, type Db, now, type RowColumns } from '../database.ts';
import { narrow, type Page, page } from '../list.ts';
import { type MetadataColumns, type MetadataInput, mergeMetadata, metadataColumns, newMetadata } from '../metadata.ts';
import type { Query, QueryRules } from '../query.ts';

export interface RouteTable extends RowColumns, MetadataColumns {
  space_guid: string;
  domain_guid: string;
  /** Lower case; "" for the domain itself, "*" for a wildcard. */
  host: string;
  /** "" or with its leading slash. */
  path: string;
  /** 0: none. */
  port: number;
}

export interface RouteDestinationTable extends RowColumns {
  route_guid: string;
  app_guid: string;
  process_type: string;
  /** The container's. */
  port: number;
  protocol: string;
  weight: number | null;
}
export type Destination = Selectable<RouteDestinationTable>;

/** A route with what its view and its permissions need. */
export interface Route extends Selectable<RouteTable> {
  domain_name: string;
  organization_guid: string;
  organization_suspended: boolean;
}

export const routeQuery = {
  list: true,
  labels: true,
  filters: [
    'hosts',
    'paths',
    'ports',
    'domain_guids',
    'space_guids',
    'organization_guids',
    'app_guids',
    'service_instance_guids',
  ],
  include: ['domain', 'space', 'space.organization'],
} as const satisfies QueryRules;

export function placeOfRoute(route: Route): Place {
  return {
    organization: { guid: route.organization_guid, suspended: route.organization_suspended },
    space: { guid: route.space_guid },
  };
}

/** "web.example.org/path": as clients see it. */
export function addressOf(route: Pick<Route, 'host' | 'domain_name' | 'path'>): string {
  return `${route.host === '' ? '' : `${route.host}.`}${route.domain_name}${route.path}`;
}

type Select = SelectQueryBuilder<Database, 'routes' | 'domains' | 'spaces' | 'organizations', Route>;

function select(db: Db): Select {
  return db
    .selectFrom('routes')
    .innerJoin('domains', 'domains.guid', 'routes.domain_guid')
    .innerJoin('spaces', 'spaces.guid', 'routes.space_guid')
    .innerJoin('organizations', 'organizations.guid', 'spaces.organization_guid')
    .selectAll('routes')
    .select([
      'domains.name as domain_name',
      'organizations.guid as organization_guid',
      'organizations.suspended as organization_suspended',
    ]);
}

export async function findRoute(db: Db, guid: string): Promise<Route | null> {
  return (await select(db).where('routes.guid', '=', guid).executeTakeFirst()) ?? null;
}

/** The route of exactly this address, whoever owns it. */
export async function findRouteByAddress(
  db: Db,
  address: { domainGuid: string; host: string; path: string },
): Promise<Route | null> {
  const row = await select(db)
    .where('routes.domain_guid', '=', address.domainGuid)
    .where('routes.host', '=', address.host.toLowerCase())
    .where('routes.path', '=', address.path)
    .executeTakeFirst();
  return row ?? null;
}

export async function listRoutes(db: Db, query: Query, visible: Visible): Promise<Page<Route>> {
  let narrowed = narrow(select(db), 'routes', query, { column: 'routes.space_guid', to: visible });
  const columns = {
    hosts: 'routes.host',
    paths: 'routes.path',
    domain_guids: 'routes.domain_guid',
    space_guids: 'routes.space_guid',
    organization_guids: 'spaces.organization_guid',
  } as const;
  for (const [filter, column] of Object.entries(columns)) {
    const values = query.filters.get(filter);
    const compared = filter === 'hosts' ? values?.map((value) => value.toLowerCase()) : values;
    if (compared) narrowed = narrowed.where(sql<boolean>`${sql.ref(column)} = ANY(${compared})`);
  }
  const ports = query.filters.get('ports');
  const apps = query.filters.get('app_guids');
  if (ports) narrowed = narrowed.where(sql<boolean>`routes.port::text = ANY(${ports})`);
  if (apps) {
    narrowed = narrowed.where(
      sql<boolean>`routes.guid IN (SELECT route_guid FROM route_destinations WHERE app_guid = ANY(${apps}))`,
    );
  }
  // No service instance is bound to a route yet.
  if (query.filters.has('service_instance_guids')) narrowed = narrowed.where(sql<boolean>`false`);
  return page(db, narrowed, 'routes', query);
}

/** Every route that leads to one of these apps, with its destinations there: what Diego must know. */
export async function routesOfApp(db: Db, appGuid: string): Promise<{ route: Route; destinations: Destination[] }[]> {
  const routes = await select(db)
    .where(sql<boolean>`routes.guid IN (SELECT route_guid FROM route_destinations WHERE app_guid = ${appGuid})`)
    .orderBy('routes.id')
    .execute();
  const destinations = await destinationsOf(
    db,
    routes.map((route) => route.guid),
  );
  return routes.map((route) => ({
    route,
    destinations: (destinations.get(route.guid) ?? []).filter((item) => item.app_guid === appGuid),
  }));
}

/** Gives the guid. Throws the unique violation `routes_address`. */
export async function insertRoute(
  db: Db,
  values: { spaceGuid: string; domainGuid: string; host: string; path: string; metadata?: MetadataInput },
): Promise<string> {
  const guid = crypto.randomUUID();
  await db
    .insertInto('routes')
    .values({
      guid,
      space_guid: values.spaceGuid,
      domain_guid: values.domainGuid,
      host: values.host.toLowerCase(),
      path: values.path,
      port: 0,
      ...newMetadata(values.metadata),
    })
    .execute();
  return guid;
}

export async function updateRoute(db: Db, route: Route, metadata: MetadataInput | undefined): Promise<void> {
  await db
    .updateTable('routes')
    .set({ ...metadataColumns(mergeMetadata(route, metadata)), updated_at: now })
    .where('guid', '=', route.guid)
    .execute();
}

/** Destinations by route, each list in the order of creation. */
export async function destinationsOf(db: Db, routeGuids: readonly string[]): Promise<Map<string, Destination[]>> {
  const byRoute = new Map<string, Destination[]>();
  if (routeGuids.length === 0) return byRoute;
  const rows = await db
    .selectFrom('route_destinations')
    .selectAll()
    .where('route_guid', 'in', routeGuids)
    .orderBy('id')
    .execute();
  for (const row of rows) byRoute.set(row.route_guid, [...(byRoute.get(row.route_guid) ?? []), row]);
  return byRoute;
}
