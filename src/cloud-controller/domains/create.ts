import type { Static } from 'typebox';
import { recordEvent } from '../audit-events/store.ts';
import type { Caller } from '../authorization.ts';
import type { Context } from '../context.ts';
import { isUniqueViolation, unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { checkDomainQuota } from '../quotas/enforce.ts';
import { guidsOf } from '../relationships.ts';
import { domainEvent } from './events.ts';
import { checkDomainFormat, claimDomainName } from './names.ts';
import type { CreateDomain } from './schema.ts';
import { checkShareable } from './sharing.ts';
import { type Domain, findDomain, insertDomain, shareDomain } from './store.ts';

/** Makes a domain of this organization, or one that all share. Throws UnprocessableEntity in Cloud Foundry's words. */
export async function createDomain(
  { db, settings }: Context,
  owner: Guid<'organization'> | null,
  body: Static<typeof CreateDomain>,
  caller: Caller,
): Promise<Domain> {
  const { name, internal = false, relationships, metadata } = body;
  checkDomainFormat(name);
  const shared = guidsOf(relationships?.shared_organizations ?? { data: [] });
  if (owner === null && shared.length > 0) {
    throw unprocessable('Relationships cannot contain shared_organizations without an owning organization.');
  }
  if (owner !== null && internal) throw unprocessable('Cannot associate an internal domain with an organization');
  await checkShareable(db, caller, shared, owner);
  const making = db.transaction().execute(async (trx) => {
    await claimDomainName(trx, settings, { name, internal, organizationGuid: owner });
    const guid = await insertDomain(trx, { name, internal, organizationGuid: owner, metadata });
    await shareDomain(trx, guid, shared);
    if (owner !== null) await checkDomainQuota(trx, owner);
    await recordEvent(
      trx,
      domainEvent('audit.domain.create', caller.actor, { guid, name, organization_guid: owner }, { request: body }),
    );
    return findDomain(trx, guid);
  });
  const made = await making.catch((error: unknown) => {
    if (!isUniqueViolation(error, 'domains_name_key')) throw error;
    throw unprocessable(`The domain name "${name}" is already in use`);
  });
  if (!made) throw new Error('a domain vanished in its own transaction');
  return made;
}
