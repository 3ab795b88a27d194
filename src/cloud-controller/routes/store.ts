import { type Selectable, sql } from 'kysely';
import { routePathKey } from '../../contracts/route-grammar.ts';
import { type Db, lockRow, now, type RowColumns, type Trx } from '../database.ts';
import { ROUTE_PATH_KEY } from '../domains/store.ts';
import { notFound } from '../errors.ts';
import { type Guid, newGuid } from '../guid.ts';
import { readAll, SMALL_ROWS_AT_ONCE } from '../list.ts';
import { changedMetadata, jsonb, type MetadataColumns, type MetadataInput, newMetadata } from '../metadata.ts';
import { mergeOptions, type OptionChanges, type RouteOptions } from './options.ts';

declare module '../database.ts' {
  interface Database {
    routes: RouteTable;
    route_destinations: RouteDestinationTable;
  }
}

export interface RouteTable extends RowColumns<Guid<'route'>>, MetadataColumns {
  space_guid: Guid<'space'>;
  domain_guid: Guid<'domain'>;
  /** Lower case; "" for the domain itself, "*" for a wildcard. */
  host: string;
  /** "" or with its leading slash. */
  path: string;
  /** 0: none. */
  port: number;
  options: RouteOptions;
}

export interface RouteDestinationTable extends RowColumns {
  route_guid: Guid<'route'>;
  app_guid: Guid<'app'>;
  process_type: string;
  /** The container's. */
  port: number;
  protocol: string;
  weight: number | null;
}
export type Destination = Selectable<RouteDestinationTable>;

/** Where a route leads: a process of an app on one of its ports. */
export interface Target {
  appGuid: Guid<'app'>;
  processType: string;
  port: number;
  protocol: string;
}

/** A route with what its view and its permissions need. */
export interface Route extends Selectable<RouteTable> {
  domain_name: string;
  organization_guid: Guid<'organization'>;
  organization_suspended: boolean;
}

/** "web.example.org/path": as clients see it. */
export function addressOf(route: Pick<Route, 'host' | 'domain_name' | 'path'>): string {
  return `${route.host === '' ? '' : `${route.host}.`}${route.domain_name}${route.path}`;
}

export function selectRoutes(db: Db) {
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

export async function findRoute(db: Db, guid: Guid<'route'>): Promise<Route | null> {
  return (await selectRoutes(db).where('routes.guid', '=', guid).executeTakeFirst()) ?? null;
}

/** Those that are there, in the order of creation. */
export async function findRoutes(db: Db, guids: readonly Guid<'route'>[]): Promise<Route[]> {
  if (guids.length === 0) return [];
  return selectRoutes(db).where(sql<boolean>`routes.guid = ANY(${guids})`).orderBy('routes.id').execute();
}

/** The same, none of which is changed, deleted or led elsewhere by somebody else until the transaction ends. */
export async function lockRoutes(trx: Trx, guids: readonly Guid<'route'>[]): Promise<Route[]> {
  return selectRoutes(trx)
    .where(sql<boolean>`routes.guid = ANY(${guids})`)
    .orderBy('routes.id')
    .forUpdate('routes')
    .execute();
}

/** The route of exactly this address, whoever owns it. */
export async function findRouteByAddress(
  db: Db,
  address: { domainGuid: Guid<'domain'>; host: string; path: string },
): Promise<Route | null> {
  const row = await selectRoutes(db)
    .where('routes.domain_guid', '=', address.domainGuid)
    .where('routes.host', '=', address.host.toLowerCase())
    .where(ROUTE_PATH_KEY, '=', routePathKey(address.path))
    .executeTakeFirst();
  return row ?? null;
}

/** The condition of routes that lead to one of these apps. */
export function leadTo(apps: readonly string[]) {
  return sql<boolean>`routes.guid IN (SELECT route_guid FROM route_destinations WHERE app_guid = ANY(${apps}))`;
}

/** Every route that leads to one of these apps, with its destinations there: what Diego must know. */
export async function routesOfApp(
  db: Db,
  appGuid: Guid<'app'>,
): Promise<{ route: Route; destinations: Destination[] }[]> {
  const routes = await readAll(
    selectRoutes(db)
      .where(leadTo([appGuid]))
      .orderBy('routes.id'),
  );
  const destinations = await readAll(
    db.selectFrom('route_destinations').selectAll().where('app_guid', '=', appGuid).orderBy('id'),
    SMALL_ROWS_AT_ONCE,
  );
  const byRoute = Map.groupBy(destinations, (row) => row.route_guid);
  return routes.map((route) => ({ route, destinations: byRoute.get(route.guid) ?? [] }));
}

/** Where a route leads to an app's web process, the oldest of several; null where it does not. */
export async function findWebDestination(
  db: Db,
  routeGuid: Guid<'route'>,
  appGuid: Guid<'app'>,
): Promise<Destination | null> {
  const row = await db
    .selectFrom('route_destinations')
    .selectAll()
    .where('route_guid', '=', routeGuid)
    .where('app_guid', '=', appGuid)
    .where('process_type', '=', 'web')
    .orderBy('id')
    .executeTakeFirst();
  return row ?? null;
}

/** Gives the guid. Throws the unique violation `routes_address`. */
export async function insertRoute(
  trx: Trx,
  values: {
    spaceGuid: Guid<'space'>;
    domainGuid: Guid<'domain'>;
    host: string;
    path: string;
    options: RouteOptions;
    metadata?: MetadataInput;
  },
): Promise<Guid<'route'>> {
  const guid = newGuid<'route'>();
  await trx
    .insertInto('routes')
    .values({
      guid,
      space_guid: values.spaceGuid,
      domain_guid: values.domainGuid,
      host: values.host.toLowerCase(),
      path: values.path,
      port: 0,
      options: jsonb(values.options),
      ...newMetadata(values.metadata),
    })
    .execute();
  return guid;
}

/** Changes the options and the metadata that are named. Throws ResourceNotFound, and UnprocessableEntity for metadata that is not allowed. */
export async function updateRoute(
  trx: Trx,
  guid: Guid<'route'>,
  changes: { options?: OptionChanges; metadata?: MetadataInput },
): Promise<Route> {
  const before = await lockRow(trx, 'routes', guid, notFound('Route'));
  await trx
    .updateTable('routes')
    .set({
      ...changedMetadata(before, changes.metadata),
      options: jsonb(mergeOptions(before.options, changes.options)),
      updated_at: now,
    })
    .where('guid', '=', guid)
    .execute();
  const updated = await findRoute(trx, guid);
  if (!updated) throw notFound('Route');
  return updated;
}

export async function insertDestination(trx: Trx, routeGuid: Guid<'route'>, target: Target): Promise<void> {
  await trx
    .insertInto('route_destinations')
    .values({
      guid: newGuid(),
      route_guid: routeGuid,
      app_guid: target.appGuid,
      process_type: target.processType,
      port: target.port,
      protocol: target.protocol,
      weight: null,
    })
    .execute();
}

export async function deleteDestination(trx: Trx, guid: string): Promise<void> {
  await trx.deleteFrom('route_destinations').where('guid', '=', guid).execute();
}

/** Deletes every destination of apps or of routes, and gives them. */
export async function deleteDestinations(
  trx: Trx,
  of: 'app_guid' | 'route_guid',
  guids: readonly string[],
): Promise<Destination[]> {
  return trx
    .deleteFrom('route_destinations')
    .where(sql<boolean>`${sql.ref(of)} = ANY(${guids})`)
    .returningAll()
    .execute();
}

/** Null where the route has no such destination. */
export async function setProtocol(
  trx: Trx,
  { guid }: Pick<Route, 'guid'>,
  destinationGuid: string,
  protocol: string,
): Promise<Destination | null> {
  const row = await trx
    .updateTable('route_destinations')
    .set({ protocol, updated_at: now })
    .where('route_guid', '=', guid)
    .where('guid', '=', destinationGuid)
    .returningAll()
    .executeTakeFirst();
  return row ?? null;
}

/** Destinations by route, each list in the order of creation. */
export async function destinationsOf(
  db: Db,
  routeGuids: readonly Guid<'route'>[],
): Promise<Map<string, Destination[]>> {
  if (routeGuids.length === 0) return new Map();
  const select = db
    .selectFrom('route_destinations')
    .selectAll()
    .where(sql<boolean>`route_guid = ANY(${routeGuids})`)
    .orderBy('id');
  return Map.groupBy(await readAll(select, SMALL_ROWS_AT_ONCE), (row) => row.route_guid);
}

/** The oldest of a domain's routes, no more than so many. */
export async function routesOnDomain(trx: Trx, domainGuid: Guid<'domain'>, most: number): Promise<Guid<'route'>[]> {
  const rows = await trx
    .selectFrom('routes')
    .select('guid')
    .where('domain_guid', '=', domainGuid)
    .orderBy('id')
    .limit(most)
    .execute();
  return rows.map((row) => row.guid);
}
