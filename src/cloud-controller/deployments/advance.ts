import { lockApp } from '../apps/store.ts';
import type { Context } from '../context.ts';
import { type Db, now } from '../database.ts';
import { lrpGuid } from '../diego/recipe.ts';
import { findProcess, updateProcess } from '../processes/store.ts';
import type { Deployment } from './store.ts';

/**
 * One step of every deployment under way: as new instances run, more of them start and as many old ones stop; once all
 * run the new process takes the old one's place. Gives whether any is still under way.
 */
export async function advanceDeployments(context: Context): Promise<boolean> {
  const { db } = context;
  const active = await db.selectFrom('deployments').selectAll().where('status_value', '=', 'ACTIVE').execute();
  for (const deployment of active) {
    const running = deployment.status_reason === 'CANCELING' ? 0 : await runningInstances(context, deployment);
    await db.transaction().execute((trx) => advance(trx, context, deployment.guid, deployment.app_guid, running));
  }
  return active.length > 0;
}

async function runningInstances(context: Context, deployment: Deployment): Promise<number> {
  const process = await findProcess(context.db, deployment.new_process_guid);
  if (!process) return 0;
  const { actualLrps } = await context.bbs.actualLrps({ processGuids: [lrpGuid(process.guid, process.version)] });
  return new Set(actualLrps.filter((lrp) => lrp.state === 'RUNNING').map((lrp) => lrp.index)).size;
}

async function advance(trx: Db, context: Context, guid: string, appGuid: string, running: number): Promise<void> {
  await lockApp(trx, appGuid);
  const deployment = await trx.selectFrom('deployments').selectAll().where('guid', '=', guid).executeTakeFirst();
  if (deployment?.status_value !== 'ACTIVE') return;
  const next = await findProcess(trx, deployment.new_process_guid);
  const old = await findProcess(trx, deployment.old_process_guid);
  if (!next) return finish(trx, guid, 'CANCELED');
  if (deployment.status_reason === 'CANCELING') return cancel(trx, deployment);
  if (running < next.instances) return;
  await trx
    .updateTable('deployments')
    .set({ last_healthy_at: context.clock(), updated_at: now })
    .where('guid', '=', guid)
    .execute();
  const wanted = deployment.original_instances;
  if (running >= wanted) {
    await updateProcess(trx, next.guid, { instances: wanted });
    if (old) await trx.deleteFrom('processes').where('guid', '=', old.guid).execute();
    await restartOthers(trx, deployment);
    return finish(trx, guid, 'DEPLOYED');
  }
  await updateProcess(trx, next.guid, { instances: Math.min(wanted, next.instances + deployment.max_in_flight) });
  if (old) await updateProcess(trx, old.guid, { instances: Math.max(0, wanted - running) });
}

/** The old process gets all its instances back and the new one goes; the app starts from the droplet it had. */
async function cancel(trx: Db, deployment: Deployment): Promise<void> {
  await updateProcess(trx, deployment.old_process_guid, { instances: deployment.original_instances });
  await trx.deleteFrom('processes').where('guid', '=', deployment.new_process_guid).execute();
  await trx
    .updateTable('apps')
    .set({ droplet_guid: deployment.previous_droplet_guid, updated_at: now })
    .where('guid', '=', deployment.app_guid)
    .execute();
  await finish(trx, deployment.guid, 'CANCELED');
}

/** Processes of other types follow once the web one serves. */
async function restartOthers(trx: Db, deployment: Deployment): Promise<void> {
  const others = await trx
    .selectFrom('processes')
    .select('guid')
    .where('app_guid', '=', deployment.app_guid)
    .where('guid', '!=', deployment.new_process_guid)
    .execute();
  for (const { guid } of others) {
    await updateProcess(trx, guid, { version: crypto.randomUUID(), droplet_guid: deployment.droplet_guid });
  }
}

async function finish(trx: Db, guid: string, reason: 'DEPLOYED' | 'CANCELED'): Promise<void> {
  await trx
    .updateTable('deployments')
    .set({ status_value: 'FINALIZED', status_reason: reason, status_updated_at: now, updated_at: now })
    .where('guid', '=', guid)
    .execute();
}
