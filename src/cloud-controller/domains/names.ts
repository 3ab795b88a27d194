import { sql } from 'kysely';
import type { Settings } from '../context.ts';
import type { Db } from '../database.ts';
import { unprocessable } from '../errors.ts';

const LABEL = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;

/** Is it a host name of at least two labels (RFC 1035)? Throws UnprocessableEntity. */
export function checkDomainFormat(name: string): void {
  const problems: string[] = [];
  const labels = name.toLowerCase().split('.');
  if (!labels.every((label) => LABEL.test(label))) problems.push('Name does not comply with RFC 1035 standards');
  if (labels.length < 2) problems.push('Name must contain at least one "."');
  if (labels.some((label) => label.length > 63)) problems.push('Name subdomains must each be at most 63 characters');
  if (/[^a-z0-9.-]/i.test(name)) problems.push('Name must consist of alphanumeric characters and hyphens');
  if (problems.length > 0) throw unprocessable(problems.join(', '));
}

/** A name the platform itself answers under, or one above or below such a name (SECURITY 10). */
export function isReservedName(settings: Settings, name: string): boolean {
  const lower = name.toLowerCase();
  const system = settings.reservedHosts.map((host) => `${host}.${settings.domain}`.toLowerCase());
  return [settings.domain.toLowerCase(), ...system].some(
    (reserved) =>
      reserved.endsWith(`.${lower}`) || (reserved !== settings.domain.toLowerCase() && isWithin(lower, reserved)),
  );
}

function isWithin(name: string, parent: string): boolean {
  return name === parent || name.endsWith(`.${parent}`);
}

/**
 * Refuses an organization's domain that would catch what belongs to somebody else: a system host, a name above or below
 * another organization's domain, or a host somebody has a route for.
 */
export async function checkPrivateDomainName(
  db: Db,
  settings: Settings,
  name: string,
  organizationGuid: string,
): Promise<void> {
  const lower = name.toLowerCase();
  if (isReservedName(settings, lower)) {
    throw unprocessable(`The "${name}" domain is reserved and cannot be used for org-scoped domains.`);
  }
  const parents = parentsOf(lower);
  const taken = await sql<{ name: string }>`
    SELECT name FROM domains
    WHERE organization_guid IS NOT NULL AND organization_guid <> ${organizationGuid}
      AND (name = ANY(${parents}) OR right(name, ${lower.length + 1}) = ${`.${lower}`})
    LIMIT 1`.execute(db);
  const other = taken.rows[0];
  if (other) throw cannotBeCreated(name, other.name, 'domain');
  const routed = await sql<{ name: string }>`
    SELECT routes.host || '.' || domains.name AS name FROM routes JOIN domains ON domains.guid = routes.domain_guid
    WHERE routes.host || '.' || domains.name = ANY(${[lower, ...parents]})
    LIMIT 1`.execute(db);
  const route = routed.rows[0];
  if (route) throw cannotBeCreated(name, route.name, 'route');
}

function parentsOf(name: string): string[] {
  const labels = name.split('.');
  return labels.slice(1).map((_, index) => labels.slice(index + 1).join('.'));
}

function cannotBeCreated(name: string, other: string, by: 'domain' | 'route') {
  return unprocessable(
    `The domain name "${name}" cannot be created because "${other}" is already reserved by ${by === 'domain' ? 'another domain' : 'a route'}`,
  );
}
