import { type Caller, rolesAt, rolesAtEach } from '../authorization.ts';
import type { Db } from '../database.ts';
import { unprocessable } from '../errors.ts';
import { type Guid, guid } from '../guid.ts';
import { findOrganization, findOrganizations, type Organization } from '../organizations/store.ts';
import { subject } from '../subject.ts';
import { type Domain, findDomain } from './store.ts';
import { domain } from './subject.ts';

/** That a domain is shared to the organization of `:org_guid`; null where there is no such organization. */
interface Sharing {
  readonly domain: Domain;
  readonly organization: Organization | null;
  readonly isShared: boolean;
  /** Whether the caller sees the organization. */
  readonly isSeen: boolean;
  /** Whether the caller manages the organization it is shared to: they may end it as the owner's manager may. */
  readonly isOwn: boolean;
}

export const sharing = subject('Domain', {
  async find(db, domainGuid: Guid<'domain'>, { caller, params }): Promise<Sharing | null> {
    const found = await findDomain(db, domainGuid);
    if (!found) return null;
    const organization = await findOrganization(db, guid<'organization'>(params['org_guid'] ?? ''));
    const isShared = organization !== null && found.shared_organization_guids.includes(organization.guid);
    const held = organization ? await rolesAt(db, caller, { organization }) : new Set<string>();
    const isOwn = isShared && held.has('organization_manager');
    return { domain: found, organization, isShared, isSeen: held.size > 0, isOwn };
  },
  place: (row) =>
    row.isOwn && row.organization ? { organization: row.organization } : (domain.place(row.domain) ?? 'foundation'),
});

/** The organizations a domain is to be shared to, if the caller manages them all. Throws UnprocessableEntity. */
export async function checkShareable(
  db: Db,
  caller: Caller,
  guids: readonly Guid<'organization'>[],
  ownerGuid: Guid<'organization'> | null,
): Promise<void> {
  if (guids.length === 0) return;
  const rows = await findOrganizations(db, guids);
  const roles = await rolesAtEach(
    db,
    caller,
    rows.map((organization) => ({ organization })),
  );
  const found = new Map(rows.map((organization, at) => [organization.guid, { organization, held: roles[at]! }]));
  for (const guid of guids) {
    const one = found.get(guid);
    if (!one || one.held.size === 0) {
      throw unprocessable(`Organization with guid '${guid}' does not exist, or you do not have access to it.`);
    }
    const { organization, held } = one;
    if (!held.has('admin') && !held.has('organization_manager')) {
      throw unprocessable(
        `You do not have sufficient permissions for organization '${organization.name}' to share domain.`,
      );
    }
    if (organization.suspended && !held.has('admin')) {
      throw unprocessable(`Organization '${organization.name}' is suspended.`);
    }
  }
  if (ownerGuid !== null && guids.includes(ownerGuid)) {
    throw unprocessable('Domain cannot be shared with owning organization.');
  }
}
