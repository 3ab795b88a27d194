import { sql } from 'kysely';
import { isRouteHost, isRouteLabel, isRoutePath } from '../../contracts/route-grammar.ts';
import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import type { Trx } from '../database.ts';
import { claimRouteName } from '../domains/names.ts';
import { type Domain, findDomain, isUsableBy } from '../domains/store.ts';
import { type CfError, isUniqueViolation, unprocessable } from '../errors.ts';
import type { MetadataInput } from '../metadata.ts';
import { checkRouteQuotas, lockQuotas } from '../quotas/enforce.ts';
import type { Space } from '../spaces/store.ts';
import { routeEvent } from './events.ts';
import type { RouteOptions } from './options.ts';
import { findRoute, findRouteByAddress, insertRoute, type Route } from './store.ts';

export interface NewRoute {
  space: Space;
  domain: Domain;
  host: string;
  path: string;
  options?: RouteOptions;
  metadata?: MetadataInput;
}

/**
 * Makes a route, or says in Cloud Foundry's words why not. Whether the caller may make routes in the space was asked
 * before; `isAdmin` alone may take the wildcard of a shared domain.
 */
export async function createRoute(
  context: Context,
  route: NewRoute,
  by: { actor: Actor; isAdmin: boolean; request: Record<string, unknown> },
): Promise<Route> {
  const { space, domain } = route;
  const host = route.host.toLowerCase();
  const { path } = route;
  if (!isUsableBy(domain, space.organization_guid)) {
    throw notAvailable(domain, space);
  }
  if (domain.organization_guid === null && host === '*' && !by.isAdmin) {
    throw unprocessable(
      'You do not have sufficient permissions to create a route with a wildcard host on a domain not scoped to an organization.',
    );
  }
  checkHost(host, domain);
  checkPath(path);
  try {
    return await context.db.transaction().execute(async (trx) => {
      await lockQuotas(trx, space.organization_guid);
      await claimRouteName(trx, context.settings, host, domain.name);
      await checkConflicts(trx, { host, path }, domain, space);
      const guid = await insertRoute(trx, {
        spaceGuid: space.guid,
        domainGuid: domain.guid,
        host,
        path,
        options: route.options ?? {},
        metadata: route.metadata,
      });
      await checkRouteQuotas(trx, space.guid);
      const made = await findRoute(trx, guid);
      if (!made) throw new Error('a route vanished in its own transaction');
      await recordEvent(trx, routeEvent('audit.route.create', by.actor, made, { request: by.request }));
      return made;
    });
  } catch (error) {
    throw isUniqueViolation(error, 'routes_address') ? taken(host, path, domain) : error;
  }
}

function notAvailable(domain: Domain, space: Space): CfError {
  return unprocessable(
    `Invalid domain. Domain '${domain.name}' is not available in organization '${space.organization_name}'.`,
  );
}

/** The CLI takes "Route already exists" for success: only for the very same address. */
function taken(host: string, path: string, domain: Domain): CfError {
  const parts = [host === '' ? null : `host '${host}'`, path === '' ? null : `path '${path}'`].filter(Boolean);
  const which = parts.length === 0 ? '' : ` with ${parts.join(' and ')}`;
  return unprocessable(`Route already exists${which} for domain '${domain.name}'.`);
}

/** Whatever passes here the router can serve (RTR-03). Lower case. Throws UnprocessableEntity. */
export function checkHost(host: string, domain: Pick<Domain, 'name' | 'organization_guid' | 'internal'>): void {
  const shared = domain.organization_guid === null;
  if (host === '' && shared) throw unprocessable('Missing host. Routes in shared domains must have a host defined.');
  if (host.length > 63) throw unprocessable('Host must be no more than 63 characters');
  if (host !== '' && !isRouteLabel(host)) throw unprocessable('Host format is invalid.');
  if (host.length + 1 + domain.name.length > 253) {
    throw unprocessable('Host combined with domain name must be no more than 253 characters.');
  }
  const name = host === '' ? domain.name : `${host}.${domain.name}`;
  if (!isRouteHost(name.toLowerCase())) throw unprocessable('Host format is invalid.');
  if (host === '*' && domain.internal) throw unprocessable('Wildcard hosts are not supported for internal domains.');
}

function checkPath(path: string): void {
  if (path === '') return;
  if (path === '/') throw unprocessable("Path cannot be a single '/'.");
  if (!path.startsWith('/')) throw unprocessable("Path is missing the beginning '/'.");
  if (path.includes('?')) throw unprocessable("Path cannot contain '?'.");
  if (path.length > 128) throw unprocessable('Path exceeds 128 characters.');
  if (!isRoutePath(path)) throw unprocessable('Path is invalid.');
}

/** A domain that was unshared meanwhile, or a host that another space holds with another path (SECURITY 10). */
async function checkConflicts(
  trx: Trx,
  { host, path }: { host: string; path: string },
  domain: Domain,
  space: Space,
): Promise<void> {
  const usable = await findDomain(trx, domain.guid);
  if (!usable || !isUsableBy(usable, space.organization_guid)) throw notAvailable(domain, space);
  const name = `${host}.${domain.name}`;
  // Two must not both come in between the look and the insert.
  await sql`SELECT pg_advisory_xact_lock(hashtext('route-host'), hashtext(${name}))`.execute(trx);
  if (await findRouteByAddress(trx, { domainGuid: domain.guid, host, path })) throw taken(host, path, domain);
  if (domain.organization_guid !== null) return;
  const elsewhere = await trx
    .selectFrom('routes')
    .select('guid')
    .where('domain_guid', '=', domain.guid)
    .where('host', '=', host)
    .where('space_guid', '<>', space.guid)
    .executeTakeFirst();
  if (elsewhere) throw unprocessable('Routes for this host and domain have been reserved for another space.');
}
