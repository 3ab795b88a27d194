import { now, type Trx } from '../database.ts';
import type { Guid } from '../guid.ts';

/** Of a droplet that is staged for this app, what assigning it takes; null where there is none. */
export async function findStagedDroplet(trx: Trx, appGuid: Guid<'app'>, guid: string) {
  const row = await trx
    .selectFrom('droplets')
    .select(['process_types', 'sidecars'])
    .where('guid', '=', guid)
    .where('app_guid', '=', appGuid)
    .where('state', '=', 'STAGED')
    .executeTakeFirst();
  return row ?? null;
}

/** The deployments of an app that are under way, held until the transaction ends. */
export async function lockActiveDeployments(trx: Trx, appGuid: Guid<'app'>) {
  return trx
    .selectFrom('deployments')
    .selectAll()
    .where('app_guid', '=', appGuid)
    .where('status_value', '=', 'ACTIVE')
    .forUpdate()
    .execute();
}

export async function setSuperseded(trx: Trx, deploymentGuid: string): Promise<void> {
  await trx
    .updateTable('deployments')
    .set({ status_value: 'FINALIZED', status_reason: 'SUPERSEDED', status_updated_at: now, updated_at: now })
    .where('guid', '=', deploymentGuid)
    .execute();
}
