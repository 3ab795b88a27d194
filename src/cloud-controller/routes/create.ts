import { sql } from 'kysely';
import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import type { Db } from '../database.ts';
import { type Domain, isUsableBy } from '../domains/store.ts';
import { type CfError, isUniqueViolation, unprocessable } from '../errors.ts';
import type { MetadataInput } from '../metadata.ts';
import { checkRouteQuotas, lockQuotas } from '../quotas/enforce.ts';
import type { Space } from '../spaces/store.ts';
import { findRoute, insertRoute, type Route } from './store.ts';

export interface NewRoute {
  space: Space;
  domain: Domain;
  host: string;
  path: string;
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
    throw unprocessable(
      `Invalid domain. Domain '${domain.name}' is not available in organization '${space.organization_name}'.`,
    );
  }
  if (domain.organization_guid === null && host === '*' && !by.isAdmin) {
    throw unprocessable(
      'You do not have sufficient permissions to create a route with a wildcard host on a domain not scoped to an organization.',
    );
  }
  checkHost(context, host, domain);
  checkPath(path);
  try {
    return await context.db.transaction().execute(async (trx) => {
      await lockQuotas(trx, space.organization_guid);
      await checkConflicts(trx, host, domain, space);
      const guid = await insertRoute(trx, {
        spaceGuid: space.guid,
        domainGuid: domain.guid,
        host,
        path,
        metadata: route.metadata,
      });
      await checkRouteQuotas(trx, space.guid);
      const made = await findRoute(trx, guid);
      if (!made) throw new Error('a route vanished in its own transaction');
      await recordEvent(trx, {
        type: 'audit.route.create',
        actor: by.actor,
        target: { guid, type: 'route', name: host },
        organizationGuid: space.organization_guid,
        spaceGuid: space.guid,
        data: { request: by.request },
      });
      return made;
    });
  } catch (error) {
    throw isUniqueViolation(error, 'routes_address') ? taken(host, path, domain) : error;
  }
}

/** The CLI recognises a taken route by "Route already exists". */
function taken(host: string, path: string, domain: Domain): CfError {
  const parts = [host === '' ? null : `host '${host}'`, path === '' ? null : `path '${path}'`].filter(Boolean);
  const which = parts.length === 0 ? '' : ` with ${parts.join(' and ')}`;
  return unprocessable(`Route already exists${which} for domain '${domain.name}'.`);
}

function checkHost(context: Context, host: string, domain: Domain): void {
  const { settings } = context;
  const shared = domain.organization_guid === null;
  if (host === '' && shared) throw unprocessable('Missing host. Routes in shared domains must have a host defined.');
  if (host !== '' && !/^([\w-]+|\*)$/.test(host)) throw unprocessable('Host format is invalid.');
  if (host.length > 63) throw unprocessable('Host must be no more than 63 characters');
  if (host.length + 1 + domain.name.length > 253) {
    throw unprocessable('Host combined with domain name must be no more than 253 characters.');
  }
  if (host === '*' && domain.internal) throw unprocessable('Wildcard hosts are not supported for internal domains.');
  if (
    domain.name === settings.domain.toLowerCase() &&
    settings.reservedHosts.some((name) => name.toLowerCase() === host)
  ) {
    throw unprocessable('Route conflicts with a reserved system route.');
  }
}

function checkPath(path: string): void {
  if (path === '') return;
  if (path === '/') throw unprocessable("Path cannot be a single '/'.");
  if (!path.startsWith('/')) throw unprocessable("Path is missing the beginning '/'.");
  if (path.includes('?')) throw unprocessable("Path cannot contain '?'.");
  if (path.length > 128) throw unprocessable('Path exceeds 128 characters.');
  if (!/^(\/[\w.~!$&'()*+,;=:@%-]*)+$/.test(path)) throw unprocessable('Path is invalid.');
}

/** A name that is a domain of its own, or a host that another space holds with another path (SECURITY 10). */
async function checkConflicts(trx: Db, host: string, domain: Domain, space: Space): Promise<void> {
  const name = `${host}.${domain.name}`;
  if (host !== '' && host !== '*') {
    const same = await trx.selectFrom('domains').select('guid').where('name', '=', name).executeTakeFirst();
    if (same) throw unprocessable(`Route conflicts with domain '${name}'.`);
  }
  if (domain.organization_guid !== null) return;
  // Two spaces must not both come in between the look and the insert.
  await sql`SELECT pg_advisory_xact_lock(hashtext('route-host'), hashtext(${name}))`.execute(trx);
  const elsewhere = await trx
    .selectFrom('routes')
    .select('guid')
    .where('domain_guid', '=', domain.guid)
    .where('host', '=', host)
    .where('space_guid', '<>', space.guid)
    .executeTakeFirst();
  if (elsewhere) throw taken(host, '', domain);
}
