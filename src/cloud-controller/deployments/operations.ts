import { type Static, Type } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import { assignDroplet, reviseApp, startApp, supersedeDeployments } from '../apps/lifecycle.ts';
import { logLine } from '../apps/log-lines.ts';
import { ToOne } from '../apps/schema.ts';
import { type App, authorizeApp, lockApp } from '../apps/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { type Db, now } from '../database.ts';
import { unprocessable } from '../errors.ts';
import { listView } from '../list.ts';
import { MetadataInput, mergeMetadata, metadataColumns, newMetadata } from '../metadata.ts';
import { created, ok, operation } from '../operation.ts';
import { checkQuota, lockQuota } from '../processes/quota.ts';
import { ScaleProcess } from '../processes/schema.ts';
import { findProcessOfType, insertProcess, updateProcess } from '../processes/store.ts';
import { canaryPlan, desiredInstances, targetOf } from './plan.ts';
import { authorizedDeployment, type Deployment, deploymentQuery, deploymentView, listDeployments } from './store.ts';

const Weight = Type.Integer({ minimum: 1, maximum: 100 });
const Options = Type.Object(
  {
    max_in_flight: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
    web_instances: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
    memory_in_mb: ScaleProcess.properties.memory_in_mb,
    disk_in_mb: ScaleProcess.properties.disk_in_mb,
    log_rate_limit_in_bytes_per_second: ScaleProcess.properties.log_rate_limit_in_bytes_per_second,
    canary: Type.Optional(
      Type.Object(
        {
          steps: Type.Optional(
            Type.Array(Type.Object({ instance_weight: Weight }, { additionalProperties: false }), {
              minItems: 1,
              maxItems: 100,
            }),
          ),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
);
const CreateDeployment = Type.Object(
  {
    relationships: Type.Object({ app: ToOne }, { additionalProperties: false }),
    droplet: Type.Optional(Type.Object({ guid: Type.String() }, { additionalProperties: false })),
    revision: Type.Optional(Type.Object({ guid: Type.String() })),
    strategy: Type.Optional(Type.Union([Type.Literal('rolling'), Type.Literal('canary'), Type.Literal('recreate')])),
    options: Type.Optional(Options),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

interface Order {
  dropletGuid: string;
  strategy: Deployment['strategy'];
  options: Static<typeof Options>;
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

export const deploymentOperations = [
  operation({
    id: 'GET /v3/deployments',
    query: deploymentQuery,
    async run(call) {
      const { db, links } = call.context;
      const found = await listDeployments(db, call.query, call.visibleSpaces());
      return ok(listView(links, '/v3/deployments', call.query, found, (row) => deploymentView(links, row)));
    },
  }),
  operation({
    id: 'POST /v3/deployments',
    body: CreateDeployment,
    async run(call) {
      const { db, links } = call.context;
      const { body } = call;
      const invalid = unprocessable('Unable to use app. Ensure that the app exists and you have access to it.');
      const place = await authorizeApp(call, body.relationships.app.data.guid, invalid);
      if (body.droplet && body.revision) throw unprocessable("Cannot set both fields 'droplet' and 'revision'");
      const row = await db.transaction().execute(async (trx) => {
        const revision = body.revision
          ? await trx
              .selectFrom('revisions')
              .select('droplet_guid')
              .where('guid', '=', body.revision.guid)
              .where('app_guid', '=', place.guid)
              .executeTakeFirst()
          : null;
        if (body.revision && !revision) throw unprocessable('The revision does not exist');
        const dropletGuid = body.droplet?.guid ?? revision?.droplet_guid ?? place.droplet_guid;
        if (dropletGuid === null)
          throw unprocessable(
            'Invalid droplet. Please specify a droplet in the request or set a current droplet for the app.',
          );
        const order: Order = {
          dropletGuid,
          strategy: body.strategy ?? 'rolling',
          options: body.options ?? {},
        };
        return deploy(trx, call.context, call.actor, place, order, newMetadata(body.metadata));
      });
      call.context.wakeDiego();
      logLine(call.context, place, `Deploying app with guid ${place.guid}`);
      return created(deploymentView(links, row));
    },
  }),
  operation({
    id: 'GET /v3/deployments/:guid',
    async run(call) {
      const { deployment } = await authorizedDeployment(call, call.params.guid);
      return ok(deploymentView(call.context.links, deployment));
    },
  }),
  operation({
    id: 'PATCH /v3/deployments/:guid',
    body: Type.Object({ metadata: Type.Optional(MetadataInput) }, { additionalProperties: false }),
    async run(call) {
      const { db, links } = call.context;
      const { deployment } = await authorizedDeployment(call, call.params.guid);
      const row = await db
        .updateTable('deployments')
        .set({ ...metadataColumns(mergeMetadata(deployment, call.body.metadata)), updated_at: now })
        .where('guid', '=', deployment.guid)
        .returningAll()
        .executeTakeFirstOrThrow();
      return ok(deploymentView(links, row));
    },
  }),
  operation({
    id: 'POST /v3/deployments/:guid/actions/cancel',
    async run(call) {
      const { app, deployment } = await authorizedDeployment(call, call.params.guid);
      await call.context.db.transaction().execute(async (trx) => {
        const updated = await trx
          .updateTable('deployments')
          .set({ status_reason: 'CANCELING', status_updated_at: now, updated_at: now })
          .where('guid', '=', deployment.guid)
          .where('status_value', '=', 'ACTIVE')
          .returning('guid')
          .executeTakeFirst();
        if (!updated) throw unprocessable(`Cannot cancel a deployment with ${statusOf(deployment)}`);
        await recordAppEvent(trx, 'audit.app.deployment.cancel', call.actor, app, { deployment_guid: deployment.guid });
      });
      call.context.wakeDiego();
      return ok(undefined);
    },
  }),
  operation({
    id: 'POST /v3/deployments/:guid/actions/continue',
    async run(call) {
      const { app, deployment } = await authorizedDeployment(call, call.params.guid);
      await call.context.db.transaction().execute(async (trx) => {
        await lockApp(trx, app.guid);
        await proceed(trx, deployment.guid);
        await recordAppEvent(trx, 'audit.app.deployment.continue', call.actor, app, {
          deployment_guid: deployment.guid,
        });
      });
      call.context.wakeDiego();
      return ok(undefined);
    },
  }),
];

/** Lets a paused canary go to its next step, or to all instances after its last. Throws UnprocessableEntity. */
async function proceed(trx: Db, guid: string): Promise<void> {
  const deployment = await trx.selectFrom('deployments').selectAll().where('guid', '=', guid).executeTakeFirstOrThrow();
  if (deployment.status_value !== 'ACTIVE' || deployment.status_reason !== 'PAUSED') {
    throw unprocessable(`Cannot continue a deployment with ${statusOf(deployment)}`);
  }
  const step = deployment.canary_step ?? 1;
  const isLast = step >= canaryPlan(deployment).length;
  await trx
    .updateTable('deployments')
    .set({ ...(isLast ? { promoted: true } : { canary_step: step + 1 }), status_reason: 'DEPLOYING' })
    .set({ status_updated_at: now, updated_at: now })
    .where('guid', '=', guid)
    .execute();
}

function statusOf(deployment: Deployment): string {
  return `status: ${deployment.status_value} and reason: ${deployment.status_reason}`;
}

/** Begins a deployment: a second web process with the new droplet, beside the old one. A stopped app simply starts. */
async function deploy(
  trx: Db,
  context: Context,
  actor: Actor,
  place: App,
  order: Order,
  metadata: ReturnType<typeof newMetadata>,
): Promise<Deployment> {
  await lockQuota(trx, place);
  const before = await lockApp(trx, place.guid);
  const steps = canarySteps(order);
  await supersedeDeployments(trx, before);
  const app = await assignDroplet(trx, context, actor, place.guid, order.dropletGuid);
  const old = await findProcessOfType(trx, place.guid, 'web');
  if (!old) throw unprocessable('The app has no web process to deploy.');
  const common = {
    guid: crypto.randomUUID(),
    app_guid: app.guid,
    strategy: order.strategy,
    max_in_flight: order.options.max_in_flight ?? 1,
    web_instances: order.options.web_instances ?? null,
    memory_mb: order.options.memory_in_mb ?? null,
    disk_mb: order.options.disk_in_mb ?? null,
    log_rate_limit: order.options.log_rate_limit_in_bytes_per_second ?? null,
    canary_steps: steps,
    canary_step: order.strategy === 'canary' ? 1 : null,
    droplet_guid: order.dropletGuid,
    previous_droplet_guid: before.droplet_guid,
    old_process_guid: old.guid,
    original_instances: old.instances,
    ...metadata,
  };
  const data = { deployment_guid: common.guid, droplet_guid: order.dropletGuid, request: { strategy: order.strategy } };
  await recordAppEvent(trx, 'audit.app.deployment.create', actor, app, data);
  const insert = (
    values: Pick<Deployment, 'status_value' | 'status_reason' | 'new_process_guid'>,
  ): Promise<Deployment> =>
    trx
      .insertInto('deployments')
      .values({ ...common, ...values })
      .returningAll()
      .executeTakeFirstOrThrow();
  const sizes = {
    memory_mb: order.options.memory_in_mb ?? old.memory_mb,
    disk_mb: order.options.disk_in_mb ?? old.disk_mb,
    log_rate_limit: order.options.log_rate_limit_in_bytes_per_second ?? old.log_rate_limit,
  };
  if (before.state === 'STOPPED') {
    await updateProcess(trx, old.guid, { ...sizes, instances: desiredInstances(common) });
    await startApp(trx, actor, app.guid, app);
    return insert({ status_value: 'FINALIZED', status_reason: 'DEPLOYED', new_process_guid: old.guid });
  }
  const {
    id: _id,
    created_at: _created,
    updated_at: _updated,
    labels: _labels,
    annotations: _annotations,
    ...settings
  } = old;
  const next = await insertProcess(trx, {
    ...settings,
    ...sizes,
    guid: crypto.randomUUID(),
    version: crypto.randomUUID(),
    droplet_guid: order.dropletGuid,
    revision_guid: await reviseApp(trx, app, order.dropletGuid),
    instances:
      order.strategy === 'recreate'
        ? desiredInstances(common)
        : Math.min(common.max_in_flight, targetOf({ ...common, promoted: false }).newInstances),
  });
  // What is recreated stops first; what rolls keeps all it has until the new ones run.
  if (order.strategy === 'recreate') await updateProcess(trx, old.guid, { instances: 0 });
  await checkQuota(trx, app);
  return insert({ status_value: 'ACTIVE', status_reason: 'DEPLOYING', new_process_guid: next.guid });
}
