import { sql } from 'kysely';
import type { Db } from '../database.ts';
import type { Guid } from '../guid.ts';
import { isWithin, type Within } from './within.ts';

const NAMES = [
  'apps.name as app_name',
  'spaces.name as space_name',
  'organizations.name as organization_name',
] as const;

/** What stands for the rules of security groups. An aggregate. */
const RULES = sql`coalesce(string_agg(security_groups.guid || security_groups.rules_hash, ',' ORDER BY security_groups.id), '-')`;
/**
 * Stands for the routes and rules of a process in the BBS's annotation, so that a change shows without reading them back: of
 * what `mappedRoutes` gives, of the groups that hold everywhere, and of those bound to its space.
 */
const NETWORK = sql<string>`md5(concat_ws(' ', coalesce(mapped.routes, '-'),
  (SELECT ${RULES} FROM security_groups WHERE running_default),
  (SELECT ${RULES} FROM security_group_spaces JOIN security_groups ON security_groups.guid = security_group_guid
    WHERE space_guid = apps.space_guid AND phase = 'running' AND NOT running_default)))`;

/** What is said in the BBS of the routes of a process: of those that `routesByProcess` reads, by their columns. */
function mappedRoutes(within: Within) {
  return sql<{ app_guid: Guid<'app'>; process_type: string; routes: string }>`(
    SELECT route_destinations.app_guid, route_destinations.process_type,
      md5(string_agg(jsonb_build_array(routes.guid, routes.host, domains.name, routes.path, route_destinations.port,
        route_destinations.protocol)::text, ',' ORDER BY route_destinations.id)) AS routes
    FROM route_destinations JOIN routes ON routes.guid = route_destinations.route_guid
    JOIN domains ON domains.guid = routes.domain_guid
    WHERE NOT domains.internal AND ${isWithin('route_destinations.app_guid', within)} GROUP BY 1, 2)`.as('mapped');
}

export interface Asked {
  within: Within;
  /** Whether images may run: an operator who takes them back wants those stopped that run. */
  docker: boolean;
}

function mayRun(docker: boolean) {
  return docker ? sql<boolean>`true` : sql<boolean>`apps.lifecycle <> 'docker'`;
}

/** Processes of these apps that may run, with what they are called and a `network` that is another where routes or rules are. */
function runnable(db: Db, { within, docker }: Asked) {
  return db
    .selectFrom('processes')
    .innerJoin('apps', 'apps.guid', 'processes.app_guid')
    .innerJoin('spaces', 'spaces.guid', 'apps.space_guid')
    .innerJoin('organizations', 'organizations.guid', 'spaces.organization_guid')
    .leftJoin(mappedRoutes(within), (join) =>
      join.onRef('mapped.app_guid', '=', 'processes.app_guid').onRef('mapped.process_type', '=', 'processes.type'),
    )
    .select([...NAMES, 'apps.space_guid', 'apps.lifecycle', NETWORK.as('network')])
    .where(mayRun(docker));
}

/** Those of them that are started. */
export function startedProcesses(db: Db, asked: Asked) {
  return runnable(db, asked)
    .where('processes.state', '=', 'STARTED')
    .where(isWithin('processes.app_guid', asked.within));
}

/** What of them serves until its successor does. Looked for by its own app: there are few of these. */
export function outgoingLrps(db: Db, asked: Asked) {
  return runnable(db, asked)
    .innerJoin('outgoing_lrps', 'outgoing_lrps.process_guid', 'processes.guid')
    .where(isWithin('outgoing_lrps.app_guid', asked.within));
}
