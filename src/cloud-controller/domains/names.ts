import { sql } from 'kysely';
import { getPublicSuffix } from 'tldts';
import { isAddress, isRouteHost } from '../../contracts/route-grammar.ts';
import type { Settings } from '../context.ts';
import type { Trx } from '../database.ts';
import { type CfError, unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';

const LABEL = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
/** Reserved for private networks (ICANN): the platform's own names inside containers, such as apps.internal. */
const PRIVATE_USE = 'internal';

/** Is it a host name of at least two labels (RFC 1035)? Throws UnprocessableEntity. */
export function checkDomainFormat(name: string): void {
  const problems: string[] = [];
  const labels = name.toLowerCase().split('.');
  if (!labels.every((label) => LABEL.test(label))) problems.push('Name does not comply with RFC 1035 standards');
  if (isAddress(name)) problems.push('Name must not be an IP address, or end in a number as one does');
  if (labels.length < 2) problems.push('Name must contain at least one "."');
  if (labels.some((label) => label.length > 63)) problems.push('Name subdomains must each be at most 63 characters');
  if (problems.length === 0 && !isRouteHost(name.toLowerCase())) problems.push('Name is too long');
  if (/[^a-z0-9.-]/i.test(name)) problems.push('Name must consist of alphanumeric characters and hyphens');
  if (problems.length > 0) throw unprocessable(problems.join(', '));
}

export interface WantedDomain {
  name: string;
  internal: boolean;
  /** Null: shared by all organizations. */
  organizationGuid: Guid<'organization'> | null;
}

/**
 * May this domain come to be? A name catches every request below it, so it is held against the owner of every other
 * name: the platform's, those of public suffixes, all domains above and below it, and the hosts of all routes
 * (SECURITY 10). Call it in the transaction that inserts the domain: from here to the commit no other domain or route
 * takes a name. Throws UnprocessableEntity.
 */
export async function claimDomainName(trx: Trx, settings: Settings, wanted: WantedDomain): Promise<void> {
  await lockDomainNames(trx);
  const name = wanted.name.toLowerCase();
  const owner = wanted.organizationGuid;
  if (isReserved(settings, name, owner !== null)) {
    throw unprocessable(`The "${wanted.name}" domain is reserved and cannot be used for org-scoped domains.`);
  }
  const parents = parentsOf(name);
  const above = await domainNamed(
    trx,
    sql<boolean>`name = ANY(${parents}) AND (organization_guid IS DISTINCT FROM ${owner})
      AND (organization_guid IS NOT NULL OR (internal AND NOT ${wanted.internal}))`,
  );
  if (above) throw cannotBeCreated(wanted.name, above, 'another domain');
  if (owner !== null) {
    // What the operator shares below a tenant's name is the operator's. The operator may share a name above a tenant's:
    // hosts on it have one label and those of others' domains are refused to them, and its wildcard is the admin's.
    const below = await domainNamed(
      trx,
      sql<boolean>`right(name, ${name.length + 1}) = ${`.${name}`} AND organization_guid IS DISTINCT FROM ${owner}`,
    );
    if (below) throw cannotBeCreated(wanted.name, below, 'another domain');
  }
  const routed = await sql<{ name: string }>`
    SELECT routes.host || '.' || domains.name AS name FROM routes JOIN domains ON domains.guid = routes.domain_guid
    WHERE routes.host || '.' || domains.name = ANY(${[name, ...parents]})
    LIMIT 1`.execute(trx);
  const route = routed.rows[0];
  if (route) throw cannotBeCreated(wanted.name, route.name, 'a route');
}

/** Until the transaction ends no domain and no route is made: for what makes a domain less than it was. */
export async function lockDomainNames(trx: Trx): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtext('domain-names'))`.execute(trx);
}

/**
 * May a route have this host? Not where the name is a domain or belongs to the platform. Call it in the transaction that
 * inserts the route: from here to the commit no domain takes the name. Throws UnprocessableEntity.
 */
export async function claimRouteName(trx: Trx, settings: Settings, host: string, domainName: string): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock_shared(hashtext('domain-names'))`.execute(trx);
  const name = host === '' ? domainName : `${host}.${domainName}`;
  if (systemHosts(settings).some((reserved) => isWithin(name, reserved))) {
    throw unprocessable('Route conflicts with a reserved system route.');
  }
  if (host === '' || host === '*') return;
  if (await domainNamed(trx, sql<boolean>`name = ${name}`)) {
    throw unprocessable(`Route conflicts with domain '${name}'.`);
  }
}

/**
 * A system host and what is below it is nobody's. A tenant also gets no name above the platform's, no public suffix and
 * nothing of the private-use names; the operator may.
 */
function isReserved(settings: Settings, name: string, isTenants: boolean): boolean {
  const hosts = systemHosts(settings);
  if (hosts.some((reserved) => isWithin(name, reserved))) return true;
  if (!isTenants) return false;
  const platforms = [settings.domain.toLowerCase(), ...hosts];
  if (platforms.some((reserved) => reserved.endsWith(`.${name}`))) return true;
  if (isWithin(name, PRIVATE_USE)) return true;
  return getPublicSuffix(name, { allowPrivateDomains: true }) === name;
}

function systemHosts(settings: Settings): string[] {
  return settings.systemHosts.map((host) => host.toLowerCase());
}

function isWithin(name: string, parent: string): boolean {
  return name === parent || name.endsWith(`.${parent}`);
}

/** "example.org" of "a.example.org", and so on up; without the single label at the top, which is no domain. */
function parentsOf(name: string): string[] {
  const labels = name.split('.');
  return labels.slice(1, -1).map((_, index) => labels.slice(index + 1).join('.'));
}

async function domainNamed(trx: Trx, condition: ReturnType<typeof sql<boolean>>): Promise<string | null> {
  const row = await trx.selectFrom('domains').select('name').where(condition).limit(1).executeTakeFirst();
  return row?.name ?? null;
}

function cannotBeCreated(name: string, other: string, by: 'another domain' | 'a route'): CfError {
  return unprocessable(`The domain name "${name}" cannot be created because "${other}" is already reserved by ${by}`);
}
