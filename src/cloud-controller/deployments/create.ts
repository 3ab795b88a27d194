import type { Static } from 'typebox';
import { assignDroplet } from '../app-actions/droplet.ts';
import { startApp } from '../app-actions/run.ts';
import { supersedeDeployments } from '../app-actions/supersede.ts';
import { recordAppEvent } from '../apps/events.ts';
import { type App, lockApp } from '../apps/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import type { Trx } from '../database.ts';
import { unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { newMetadata } from '../metadata.ts';
import { checkDisk } from '../processes/disk.ts';
import { findProcessOfType, insertProcess, type Process, resizeProcess, sizeCounted } from '../processes/store.ts';
import { type Counted, withinQuota } from '../quotas/within.ts';
import { reviseApp } from '../revisions/revise.ts';
import { desiredInstances, largestOf, targetOf } from './plan.ts';
import type { CreateDeployment, Options } from './schema.ts';
import type { Strategy } from './state.ts';
import { type Deployment, dropletOfRevision, insertDeployment } from './store.ts';

type NewDeployment = Static<typeof CreateDeployment>;

/** What is to be deployed, and how. */
interface Order {
  guid: string;
  dropletGuid: Guid<'droplet'>;
  strategy: Strategy;
  options: Options;
  metadata: ReturnType<typeof newMetadata>;
}

/**
 * Begins a deployment: a second web process with the new droplet, beside the old one. A stopped app simply starts.
 * Throws UnprocessableEntity, QuotaExceeded.
 */
export async function createDeployment(
  context: Context,
  app: App,
  body: NewDeployment,
  actor: Actor,
): Promise<Deployment> {
  if (body.droplet && body.revision) throw unprocessable("Cannot set both fields 'droplet' and 'revision'");
  checkDisk(context.settings, body.options?.disk_in_mb);
  return context.db
    .transaction()
    .execute((trx) => withinQuota(trx, app, (counted) => deploy(counted, context, actor, app.guid, body)));
}

async function dropletOf(trx: Trx, app: App, { droplet, revision }: NewDeployment): Promise<Guid<'droplet'>> {
  const revised = revision ? await dropletOfRevision(trx, app.guid, revision.guid) : null;
  if (revision && !revised) throw unprocessable('The revision does not exist');
  const guid = droplet?.guid ?? revised ?? app.droplet_guid;
  if (guid !== null) return guid;
  throw unprocessable('Invalid droplet. Please specify a droplet in the request or set a current droplet for the app.');
}

/** Weights of canary steps in rising order; null where there are none. Throws UnprocessableEntity. */
function canarySteps({ strategy, options }: Order): number[] | null {
  if (options.canary && strategy !== 'canary') {
    throw unprocessable('Options.canary are only valid for Canary deployments');
  }
  const weights = options.canary?.steps?.map((step) => step.instance_weight) ?? null;
  if (weights?.some((weight, i) => i > 0 && weight < weights[i - 1]!)) {
    throw unprocessable('Options.canary.steps.instance_weight must be sorted in ascending order');
  }
  return weights;
}

async function deploy(
  trx: Counted,
  context: Context,
  actor: Actor,
  appGuid: Guid<'app'>,
  body: NewDeployment,
): Promise<Deployment> {
  const before = await lockApp(trx, appGuid);
  const order: Order = {
    guid: crypto.randomUUID(),
    dropletGuid: await dropletOf(trx, before, body),
    strategy: body.strategy ?? 'rolling',
    options: body.options ?? {},
    metadata: newMetadata(body.metadata),
  };
  const steps = canarySteps(order);
  await supersedeDeployments(trx, before);
  const app = await assignDroplet(trx, context, actor, appGuid, order.dropletGuid);
  const old = await findProcessOfType(trx, appGuid, 'web');
  if (!old) throw unprocessable('The app has no web process to deploy.');
  const plan = planOf(order, before, old, steps);
  await recordAppEvent(trx, 'audit.app.deployment.create', actor, app, {
    deployment_guid: plan.guid,
    droplet_guid: order.dropletGuid,
    request: { strategy: order.strategy },
  });
  return before.state === 'STOPPED' ? startWith(trx, actor, app, plan, old) : replace(trx, actor, app, plan, old);
}

type Plan = ReturnType<typeof planOf>;

/** The deployment's row but for what becomes of it. */
function planOf(
  { guid, dropletGuid, strategy, options, metadata }: Order,
  before: App,
  old: Process,
  steps: number[] | null,
) {
  return {
    guid,
    app_guid: before.guid,
    strategy,
    max_in_flight: options.max_in_flight ?? 1,
    web_instances: options.web_instances ?? null,
    memory_mb: options.memory_in_mb ?? null,
    disk_mb: options.disk_in_mb ?? null,
    log_rate_limit: options.log_rate_limit_in_bytes_per_second ?? null,
    canary_steps: steps,
    canary_step: strategy === 'canary' ? 1 : null,
    droplet_guid: dropletGuid,
    previous_droplet_guid: before.droplet_guid,
    old_process_guid: old.guid,
    original_instances: old.instances,
    ...metadata,
  };
}

/** What the new process is sized with: what the deployment brings, else what was. */
function sizesOf(plan: Plan, old: Process): Pick<Process, 'memory_mb' | 'disk_mb' | 'log_rate_limit'> {
  return {
    memory_mb: plan.memory_mb ?? old.memory_mb,
    disk_mb: plan.disk_mb ?? old.disk_mb,
    log_rate_limit: plan.log_rate_limit ?? old.log_rate_limit,
  };
}

/** Nothing runs that could be replaced in turn. */
async function startWith(trx: Counted, actor: Actor, app: App, plan: Plan, old: Process): Promise<Deployment> {
  await resizeProcess(trx, old.guid, { ...sizesOf(plan, old), instances: desiredInstances(plan) });
  await startApp(trx, actor, app.guid, app);
  return insertDeployment(trx, 'DEPLOYED', { ...plan, new_process_guid: old.guid });
}

async function replace(trx: Counted, actor: Actor, app: App, plan: Plan, old: Process): Promise<Deployment> {
  const { strategy, max_in_flight: maxInFlight, droplet_guid: dropletGuid } = plan;
  const { id: _id, created_at: _at, updated_at: _since, labels: _labels, annotations: _notes, ...settings } = old;
  const next = await insertProcess(trx, {
    ...settings,
    ...sizesOf(plan, old),
    guid: crypto.randomUUID(),
    version: crypto.randomUUID(),
    version_memory_mb: null,
    version_log_rate_limit: null,
    droplet_guid: dropletGuid,
    revision_guid: await reviseApp(trx, actor, app, dropletGuid),
    instances:
      strategy === 'recreate'
        ? desiredInstances(plan)
        : Math.min(maxInFlight, targetOf({ ...plan, promoted: false }).newInstances),
  });
  // What is recreated stops first; what rolls keeps all it has until the new ones run.
  if (strategy === 'recreate') await resizeProcess(trx, old.guid, { instances: 0 });
  const reserved = (of: (process: Process) => number): number => largestOf(plan, of(old), of(next));
  return insertDeployment(trx, 'DEPLOYING', {
    ...plan,
    new_process_guid: next.guid,
    reserved_instances: reserved(() => 1),
    reserved_memory_mb: reserved((process) => sizeCounted(process).memoryMb),
    reserved_log_rate: reserved((process) => Math.max(sizeCounted(process).logRate, 0)),
  });
}
