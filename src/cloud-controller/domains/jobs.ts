import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { unprocessable } from '../errors.ts';
import { type Guid, guid } from '../guid.ts';
import type { Job } from '../jobs/store.ts';
import { domainEvent } from './events.ts';
import { lockDomainNames } from './names.ts';
import { type Domain, findDomain } from './store.ts';

/** Job "domain.delete": with the routes on it, all of which are its owner's while it is shared to nobody. */
export async function deleteDomainJob(context: Context, job: Job): Promise<undefined> {
  await deleteDomain(context, guid<'domain'>(job.resourceGuid ?? ''), job.actor, checkNotShared);
}

/**
 * Deletes a domain with every route on it, whoever's it is; each leaves its event where it was. Fine where it is gone.
 * Routes go in batches of their own transactions; the names of the platform are held in the last one alone, so that nobody
 * else's route waits for all of them. `mayGo` is asked in each, and throws where the domain, as it is by then, may not go.
 */
async function deleteDomain(
  context: Context,
  guid: Guid<'domain'>,
  actor: Actor,
  mayGo: (domain: Domain) => void,
): Promise<void> {
  for (let isLast = false; ; ) {
    const batch = await context.db.transaction().execute(async (trx) => {
      // From here on neither a route comes to it nor, by a lock of its row, an organization that it is shared to.
      if (isLast) await lockDomainNames(trx);
      await trx.selectFrom('domains').select('guid').where('guid', '=', guid).forUpdate().execute();
      const domain = await findDomain(trx, guid);
      if (!domain) return null;
      mayGo(domain);
      const removed = [];
      for (const remove of context.contents.domain) removed.push(await remove(context, trx, guid, actor, isLast));
      const isAll = removed.every((one) => one.isAll);
      if (isAll && isLast) {
        await trx.deleteFrom('domains').where('guid', '=', guid).execute();
        await recordEvent(trx, domainEvent('audit.domain.delete-request', actor, domain, { request: {} }));
      }
      return { removed, isAll };
    });
    if (!batch) return;
    for (const { after } of batch.removed) await after();
    if (batch.isAll && isLast) return;
    isLast = batch.isAll;
  }
}

/** Throws UnprocessableEntity where organizations beside its owner may use it. */
export function checkNotShared(domain: Domain): void {
  if (domain.shared_organization_guids.length === 0) return;
  throw unprocessable('This domain is shared with other organizations. Unshare before deleting.');
}

/** Every domain of an organization. Others may have routes on those that were shared to them: they go with the domain. */
export async function deleteDomainsOfOrganization(
  context: Context,
  guid: Guid<'organization'>,
  actor: Actor,
): Promise<void> {
  const domains = await context.db.selectFrom('domains').select('guid').where('organization_guid', '=', guid).execute();
  for (const domain of domains) await deleteDomain(context, domain.guid, actor, () => {});
}
