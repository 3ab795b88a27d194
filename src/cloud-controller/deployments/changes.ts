import { recordAppEvent } from '../apps/events.ts';
import { lockApp } from '../apps/store.ts';
import type { OfApp } from '../apps/subject.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { lockRow, type Trx } from '../database.ts';
import { notFound, unprocessable } from '../errors.ts';
import { canaryPlan } from './plan.ts';
import { become, type Deployment, updateDeployment } from './store.ts';

/**
 * Begins to take a deployment back, which goes on by itself. Fine where that has begun. Throws UnprocessableEntity where the
 * deployment is over.
 */
export async function cancelDeployment({ db }: Context, subject: OfApp<Deployment>, actor: Actor): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const deployment = await lockDeployment(trx, subject);
    if (deployment.status_value !== 'ACTIVE') throw inStatus('cancel', deployment);
    if (deployment.status_reason === 'CANCELING') return;
    await become(trx, deployment.guid, 'CANCELING');
    const data = { deployment_guid: deployment.guid };
    await recordAppEvent(trx, 'audit.app.deployment.cancel', actor, subject.app, data);
  });
}

/** Lets a paused canary go to its next step, or to all instances after its last. Throws UnprocessableEntity. */
export async function continueDeployment({ db }: Context, subject: OfApp<Deployment>, actor: Actor): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const deployment = await lockDeployment(trx, subject);
    if (deployment.status_reason !== 'PAUSED') throw inStatus('continue', deployment);
    const step = deployment.canary_step ?? 1;
    const isLast = step >= canaryPlan(deployment).length;
    await updateDeployment(trx, deployment.guid, isLast ? { promoted: true } : { canary_step: step + 1 });
    await become(trx, deployment.guid, 'DEPLOYING');
    const data = { deployment_guid: deployment.guid };
    await recordAppEvent(trx, 'audit.app.deployment.continue', actor, subject.app, data);
  });
}

/** A deployment as it is while nobody advances, ends or supersedes it: those have its app's lock. */
async function lockDeployment(trx: Trx, { guid, app_guid: appGuid }: Deployment): Promise<Deployment> {
  await lockApp(trx, appGuid);
  return lockRow(trx, 'deployments', guid, notFound('Deployment'));
}

function inStatus(verb: string, { status_value: value, status_reason: reason }: Deployment) {
  return unprocessable(`Cannot ${verb} a deployment with status: ${value} and reason: ${reason}`);
}
