import type { ActualLrp } from '../../contracts/gen/diego_pb.js';
import { messageOf } from '../../kit/errors.ts';
import { logLine } from '../apps/log-lines.ts';
import { type App, findApp, lockApp, writeApp } from '../apps/store.ts';
import type { Context } from '../context.ts';
import { type Db, inTurn, isLockTaken } from '../database.ts';
import { lrpGuid } from '../processes/lrp-guid.ts';
import { keepServing, renewProcess } from '../processes/outgoing.ts';
import { deleteProcess, findProcess, type Process, processesOfApp, resizeProcess } from '../processes/store.ts';
import { QuotaExceeded } from '../quotas/enforce.ts';
import { type Counted, withinQuota } from '../quotas/within.ts';
import { countInstances, nextStep, targetOf } from './plan.ts';
import { become, type Deployment, findDeployment, movingDeployments, sayError, updateDeployment } from './store.ts';

/**
 * One step of every deployment under way: as new instances are ready, more of them start and as many old ones stop. A canary
 * pauses at each of its steps; once all are ready the new process takes the old one's place. Gives the apps of those under way.
 * One that fails, or whose organization's lock somebody holds, is tried again with the next run; the others take their step.
 */
export async function advanceDeployments(context: Context): Promise<readonly string[]> {
  const { db, log } = context;
  const active = await movingDeployments(db);
  /** Organizations that are changed by somebody just now: their other deployments do not wait in turn. */
  const taken = new Set<string>();
  for (const deployment of active) {
    try {
      const place = await findApp(db, deployment.app_guid);
      if (!place || taken.has(place.organization_guid)) continue;
      const lrps = await newInstances(context, deployment);
      // What does not move costs its organization nothing: it is counted under the lock only where there is a step to take.
      if ((await stepOf(db, context, deployment, lrps)) === null) continue;
      await attempt(context, deployment, place, lrps).catch((error: unknown) => {
        if (!isLockTaken(error)) throw error;
        taken.add(place.organization_guid);
      });
    } catch (error) {
      log.warn('a deployment took no step; it is tried again', {
        deployment: deployment.guid,
        error: messageOf(error),
      });
    }
  }
  return active.map((deployment) => deployment.app_guid);
}

/** A step that a quota has no room for is tried again with the next run; the deployment says what it waits for. */
async function attempt(context: Context, seen: Deployment, place: App, lrps: readonly ActualLrp[]): Promise<void> {
  const { db } = context;
  try {
    await inTurn(db, (trx) =>
      withinQuota(trx, place, async (counted) => {
        const app = await lockApp(counted, seen.app_guid);
        const deployment = await findDeployment(counted, seen.guid);
        if (deployment?.status_value !== 'ACTIVE') return;
        const step = await stepOf(counted, context, deployment, lrps);
        await step?.(counted, app);
      }),
    );
  } catch (error) {
    if (!(error instanceof QuotaExceeded)) throw error;
    if (await sayError(db, seen.guid, error.detail)) logLine(context, place, `The deployment waits: ${error.detail}`);
  }
}

async function newInstances(context: Context, deployment: Deployment): Promise<ActualLrp[]> {
  if (deployment.status_reason === 'CANCELING') {
    const leaving = deployment.leaving_lrp_guid;
    return leaving === null ? [] : (await context.bbs.actualLrps({ processGuids: [leaving] })).actualLrps;
  }
  const process = await findProcess(context.db, deployment.new_process_guid);
  if (!process) return [];
  return (await context.bbs.actualLrps({ processGuids: [lrpGuid(process.guid, process.version)] })).actualLrps;
}

type Step = (trx: Counted, app: App) => Promise<void>;

/** What there is to do for a deployment as it is; null where nothing is. */
async function stepOf(
  db: Db,
  context: Context,
  deployment: Deployment,
  lrps: readonly ActualLrp[],
): Promise<Step | null> {
  const next = await findProcess(db, deployment.new_process_guid);
  const old = await findProcess(db, deployment.old_process_guid);
  const step =
    deployment.status_reason === 'CANCELING'
      ? await cancelStep(db, context, deployment, next, lrps)
      : growStep(context, deployment, next, old, lrps);
  if (deployment.error === null) return step;
  return async (trx, app) => {
    await updateDeployment(trx, deployment.guid, { error: null });
    await step?.(trx, app);
  };
}

function growStep(
  context: Context,
  deployment: Deployment,
  next: Process | null,
  old: Process | null,
  lrps: readonly ActualLrp[],
): Step | null {
  if (!next) return (trx) => become(trx, deployment.guid, 'CANCELED');
  const current = {
    newInstances: next.instances,
    oldInstances: old?.instances ?? 0,
    maxInFlight: deployment.max_in_flight,
  };
  const counts = countInstances(next.instances, lrps);
  const step = nextStep(current, counts, targetOf(deployment));
  const grows = step.newInstances !== current.newInstances;
  const shrinks = step.oldInstances !== current.oldInstances;
  if (!grows && !shrinks && !step.reached) return null;
  return async (trx, app) => {
    if (counts.routable > 0 && (step.reached || step.newInstances > current.newInstances)) {
      await updateDeployment(trx, deployment.guid, { last_healthy_at: context.clock() });
    }
    if (grows) await resizeProcess(trx, next.guid, { instances: step.newInstances });
    if (old && shrinks) await resizeProcess(trx, old.guid, { instances: step.oldInstances });
    if (!step.reached) return;
    if (deployment.strategy === 'canary' && !deployment.promoted) return become(trx, deployment.guid, 'PAUSED');
    if (old) await deleteProcess(trx, old.guid);
    await restartOthers(trx, app, deployment);
    await become(trx, deployment.guid, 'DEPLOYED');
  };
}

/** A cancelled deployment is over after so long, whatever becomes of the new version's instances. */
const LONGEST_CANCEL_MS = 5 * 60_000;

/**
 * The old process gets all its instances back, and the new one goes as they serve. Only when nothing of it can answer a
 * request any more is the deployment over.
 */
async function cancelStep(
  db: Db,
  context: Context,
  deployment: Deployment,
  next: Process | null,
  leaving: readonly ActualLrp[],
): Promise<Step | null> {
  if (next) return (trx, app) => withdraw(trx, app, deployment, next);
  const lrp = deployment.leaving_lrp_guid ?? '';
  const served = await db.selectFrom('outgoing_lrps').select('id').where('lrp_guid', '=', lrp).executeTakeFirst();
  const age = context.clock().getTime() - deployment.status_updated_at.getTime();
  const isOver = (!served && leaving.length === 0) || age > LONGEST_CANCEL_MS;
  return isOver ? (trx) => become(trx, deployment.guid, 'CANCELED') : null;
}

/** The app goes back to the droplet it had. */
async function withdraw(trx: Counted, app: App, deployment: Deployment, next: Process): Promise<void> {
  await resizeProcess(trx, deployment.old_process_guid, { instances: deployment.original_instances });
  await keepServing(trx, app, next, deployment.old_process_guid);
  await deleteProcess(trx, deployment.new_process_guid);
  await writeApp(trx, app.guid, { droplet_guid: deployment.previous_droplet_guid });
  await updateDeployment(trx, deployment.guid, { leaving_lrp_guid: lrpGuid(next.guid, next.version) });
}

/** Processes of other types follow once the web one serves. */
async function restartOthers(trx: Counted, app: App, deployment: Deployment): Promise<void> {
  for (const process of await processesOfApp(trx, app.guid)) {
    if (process.guid === deployment.new_process_guid) continue;
    await renewProcess(trx, app, process, { droplet_guid: deployment.droplet_guid });
  }
}
