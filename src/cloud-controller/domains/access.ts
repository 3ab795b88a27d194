import { sql } from 'kysely';
import { type Caller, rolesAt, visibleOrganizations } from '../authorization.ts';
import type { Db } from '../database.ts';
import { CfError, notAuthorized, notFound } from '../errors.ts';
import type { Call } from '../operation.ts';
import { findOrganization, findOrganizations } from '../organizations/store.ts';
import { ALL_ROLES, type OperationId, permissionOf } from '../permissions.ts';
import { type Domain, findDomain } from './store.ts';

/**
 * The domain a path names, if the caller may do this to it. A private one is seen from its owner and from the
 * organizations it is shared to; changing it is the owner's. A shared one everybody sees and the admin changes.
 */
export async function authorizedDomain<Id extends OperationId>(call: Call<Id, unknown>, guid: string): Promise<Domain> {
  const { db } = call.context;
  const missing = notFound('Domain');
  const domain = await findDomain(db, guid);
  if (!domain) throw missing;
  if (domain.organization_guid === null) {
    call.passSharedResource();
    if (!call.id.startsWith('GET ') && !call.isAdmin) throw notAuthorized();
    return domain;
  }
  const owner = await findOrganization(db, domain.organization_guid);
  if (!owner) throw missing;
  if (await isVisibleThroughSharing(db, call, domain)) {
    if (call.id.startsWith('GET ')) call.passSharedResource();
    else await call.authorize({ organization: owner }, notAuthorized());
    return domain;
  }
  await call.authorize({ organization: owner }, missing);
  return domain;
}

async function isVisibleThroughSharing(db: Db, call: Call<OperationId, unknown>, domain: Domain): Promise<boolean> {
  const permission = permissionOf(call.id);
  if (!('see' in permission)) return false;
  for (const organization of await findOrganizations(db, domain.shared_organization_guids)) {
    const held = await rolesAt(db, call.caller, { organization });
    if (permission.see.some((role) => held.has(role))) return true;
  }
  return false;
}

/** Tells which organizations the caller may know of. */
export async function organizationFilter(db: Db, caller: Caller): Promise<(guid: string) => boolean> {
  const visible = visibleOrganizations(caller, ALL_ROLES);
  if (visible.everything) return () => true;
  const rows = await sql<{ guid: string }>`SELECT organization_guid AS guid FROM ${visible.guids} AS seen`.execute(db);
  const seen = new Set(rows.rows.map((row) => row.guid));
  return (guid) => seen.has(guid);
}

/** The organizations a domain is to be shared to, if the caller manages them all. Throws UnprocessableEntity. */
export async function checkShareable(
  db: Db,
  caller: Caller,
  guids: readonly string[],
  ownerGuid: string | null,
): Promise<void> {
  if (guids.length === 0) return;
  const found = new Map((await findOrganizations(db, guids)).map((row) => [row.guid, row]));
  for (const guid of guids) {
    const organization = found.get(guid);
    const held = organization ? await rolesAt(db, caller, { organization }) : new Set();
    if (!organization || held.size === 0) {
      throw new CfError(
        'UnprocessableEntity',
        `Organization with guid '${guid}' does not exist, or you do not have access to it.`,
      );
    }
    if (!held.has('admin') && !held.has('organization_manager')) {
      throw new CfError(
        'UnprocessableEntity',
        `You do not have sufficient permissions for organization '${organization.name}' to share domain.`,
      );
    }
    if (organization.suspended && !held.has('admin')) {
      throw new CfError('UnprocessableEntity', `Organization '${organization.name}' is suspended.`);
    }
  }
  if (ownerGuid !== null && guids.includes(ownerGuid)) {
    throw new CfError('UnprocessableEntity', 'Domain cannot be shared with owning organization.');
  }
}
