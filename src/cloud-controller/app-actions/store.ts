import { now, type Trx } from '../database.ts';
import type { Guid } from '../guid.ts';

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
