import type { UpdateObject } from 'kysely';
import type { ActualLrp } from '../../contracts/gen/diego_pb.js';
import { type App, lockApp } from '../apps/store.ts';
import type { Context } from '../context.ts';
import { type Database, type Db, now } from '../database.ts';
import { lrpGuid } from '../diego/recipe.ts';
import { keepServing, renewProcess } from '../processes/outgoing.ts';
import { findProcess, type Process, processesOfApp, updateProcess } from '../processes/store.ts';
import { countInstances, nextStep, targetOf } from './plan.ts';
import type { Deployment } from './store.ts';

/**
 * One step of every deployment under way: as new instances are ready, more of them start and as many old ones stop. A canary
 * pauses at each of its steps; once all are ready the new process takes the old one's place. Gives whether any is to go on.
 */
export async function advanceDeployments(context: Context): Promise<boolean> {
  const { db } = context;
  const active = await db
    .selectFrom('deployments')
    .selectAll()
    .where('status_value', '=', 'ACTIVE')
    .where('status_reason', '!=', 'PAUSED')
    .execute();
  for (const deployment of active) {
    const lrps = deployment.status_reason === 'CANCELING' ? [] : await newInstances(context, deployment);
    await db.transaction().execute((trx) => advance(trx, context, deployment, lrps));
  }
  return active.length > 0;
}

async function newInstances(context: Context, deployment: Deployment): Promise<ActualLrp[]> {
  const process = await findProcess(context.db, deployment.new_process_guid);
  if (!process) return [];
  return (await context.bbs.actualLrps({ processGuids: [lrpGuid(process.guid, process.version)] })).actualLrps;
}

async function advance(trx: Db, context: Context, seen: Deployment, lrps: readonly ActualLrp[]): Promise<void> {
  const app = await lockApp(trx, seen.app_guid);
  const deployment = await trx
    .selectFrom('deployments')
    .selectAll()
    .where('guid', '=', seen.guid)
    .where('status_value', '=', 'ACTIVE')
    .executeTakeFirst();
  if (!deployment) return;
  const next = await findProcess(trx, deployment.new_process_guid);
  const old = await findProcess(trx, deployment.old_process_guid);
  if (!next) return become(trx, deployment.guid, 'CANCELED');
  if (deployment.status_reason === 'CANCELING') return cancel(trx, app, deployment, next);
  const current = {
    newInstances: next.instances,
    oldInstances: old?.instances ?? 0,
    maxInFlight: deployment.max_in_flight,
  };
  const counts = countInstances(next.instances, lrps);
  const step = nextStep(current, counts, targetOf(deployment));
  if (counts.routable > 0 && (step.reached || step.newInstances > current.newInstances)) {
    await touch(trx, deployment.guid, { last_healthy_at: context.clock() });
  }
  if (step.newInstances !== current.newInstances) await updateProcess(trx, next.guid, { instances: step.newInstances });
  if (old && step.oldInstances !== current.oldInstances) {
    await updateProcess(trx, old.guid, { instances: step.oldInstances });
  }
  if (!step.reached) return;
  if (deployment.strategy === 'canary' && !deployment.promoted) return become(trx, deployment.guid, 'PAUSED');
  if (old) await trx.deleteFrom('processes').where('guid', '=', old.guid).execute();
  await restartOthers(trx, app, deployment);
  await become(trx, deployment.guid, 'DEPLOYED');
}

/** The old process gets all its instances back and the new one goes; the app starts from the droplet it had. */
async function cancel(trx: Db, app: App, deployment: Deployment, next: Process): Promise<void> {
  await updateProcess(trx, deployment.old_process_guid, { instances: deployment.original_instances });
  await keepServing(trx, app, next, deployment.old_process_guid);
  await trx.deleteFrom('processes').where('guid', '=', deployment.new_process_guid).execute();
  await trx
    .updateTable('apps')
    .set({ droplet_guid: deployment.previous_droplet_guid, updated_at: now })
    .where('guid', '=', deployment.app_guid)
    .execute();
  await become(trx, deployment.guid, 'CANCELED');
}

/** Processes of other types follow once the web one serves. */
async function restartOthers(trx: Db, app: App, deployment: Deployment): Promise<void> {
  for (const process of await processesOfApp(trx, app.guid)) {
    if (process.guid === deployment.new_process_guid) continue;
    await renewProcess(trx, app, process, { droplet_guid: deployment.droplet_guid });
  }
}

async function become(trx: Db, guid: string, reason: 'DEPLOYED' | 'CANCELED' | 'PAUSED'): Promise<void> {
  const value = reason === 'PAUSED' ? 'ACTIVE' : 'FINALIZED';
  await touch(trx, guid, { status_value: value, status_reason: reason, status_updated_at: now });
}

async function touch(trx: Db, guid: string, changes: UpdateObject<Database, 'deployments'>): Promise<void> {
  await trx
    .updateTable('deployments')
    .set({ ...changes, updated_at: now })
    .where('guid', '=', guid)
    .execute();
}
