import { updateApp } from '../apps/changes.ts';
import { recordAppEvent } from '../apps/events.ts';
import { changedFeatures, setFeatures } from '../apps/features.ts';
import { logLine } from '../apps/log-lines.ts';
import { type App, findApp, lockApp } from '../apps/store.ts';
import { mergeVariables } from '../apps/variables.ts';
import type { Context } from '../context.ts';
import type { Trx } from '../database.ts';
import { CfError } from '../errors.ts';
import { requireFeature } from '../feature-flags/store.ts';
import type { Guid } from '../guid.ts';
import type { Job } from '../jobs/store.ts';
import { changeProcess, scaleProcess } from '../processes/changes.ts';
import { ensureProcess } from '../processes/create.ts';
import { checkSidecarMemory } from '../processes/sidecar-memory.ts';
import { lockQuotas } from '../quotas/enforce.ts';
import { setSidecar } from '../sidecars/changes.ts';
import type { ManifestApp } from './app.ts';
import { lifecycleData, processChange, processScale, sidecarBody } from './bodies.ts';
import { openPlan } from './plan.ts';
import type { ManifestProcess } from './processes.ts';
import { applyRoutes, type By } from './routes.ts';

/** Job "space.apply_manifest". Every step may be done twice. An app that was deleted meanwhile is passed over. */
export async function applyManifestJob(context: Context, job: Job): Promise<undefined> {
  const plan = openPlan(context.sealer, job);
  for (const { guid, manifest } of plan.apps) {
    try {
      await applyToApp(context, guid, manifest, { actor: job.actor, isAdmin: plan.isAdmin });
    } catch (error) {
      if (!(error instanceof CfError)) throw error;
      if (!(await findApp(context.db, guid))) continue; // deleted meanwhile
      throw new CfError(error.title, `For application '${manifest.name}': ${error.detail}`, { cause: error });
    }
  }
  context.changed(plan.apps.map(({ guid }) => guid));
}

const MANIFEST = { manifest_triggered: true } as const;

async function applyToApp(context: Context, guid: Guid<'app'>, manifest: ManifestApp, by: By): Promise<void> {
  const { db } = context;
  const place = await findApp(db, guid);
  if (!place) return;
  if (manifest.services.length > 0) {
    throw new CfError('ResourceNotFound', `Service instance '${manifest.services[0]}' not found`);
  }
  for (const process of manifest.processes) {
    await db.transaction().execute((trx) => applyProcess(trx, context, place, process, by));
  }
  const app = await db.transaction().execute(async (trx) => {
    const before = await lockApp(trx, guid);
    const request = { ...(await applySidecars(trx, guid, manifest)), ...(await applyFeatures(trx, before, manifest)) };
    if (Object.keys(request).length > 0) {
      await recordAppEvent(trx, 'audit.app.update', by.actor, before, { ...MANIFEST, request });
    }
    const { metadata, env } = manifest;
    const data = place.lifecycle === 'docker' ? {} : lifecycleData(manifest);
    const hasLifecycle = Object.keys(data).length > 0;
    if (hasLifecycle || metadata) {
      const body = { ...(hasLifecycle ? { lifecycle: { data } } : {}), ...(metadata ? { metadata } : {}) };
      await updateApp(trx, by.actor, guid, body, MANIFEST);
    }
    const app = await lockApp(trx, guid);
    if (env && Object.keys(env).length > 0) {
      await mergeVariables(trx, context.sealer, app, env);
      const request = { environment_variables: {} };
      await recordAppEvent(trx, 'audit.app.update', by.actor, app, { ...MANIFEST, request });
    }
    return app;
  });
  await applyRoutes(context, app, manifest, by);
  logLine(context, app, `Applied manifest to app with guid ${guid}`);
}

async function applyProcess(trx: Trx, context: Context, place: App, wanted: ManifestProcess, by: By): Promise<void> {
  // The quota's lock comes before the app's, here as everywhere, so that two changes never wait for each other.
  await lockQuotas(trx, place.organization_guid);
  const app = await lockApp(trx, place.guid);
  const process = await ensureProcess(trx, context, app, wanted.type, by.actor);
  const change = processChange(wanted);
  if (Object.keys(change).length > 0) await changeProcess(trx, by.actor, app, process.guid, change, MANIFEST);
  const asked = processScale(wanted);
  const scale = {
    ...differing('instances', asked.instances, process.instances),
    ...differing('memory_in_mb', asked.memory_in_mb, process.memory_mb),
    ...differing('disk_in_mb', asked.disk_in_mb, process.disk_mb),
    ...differing(
      'log_rate_limit_in_bytes_per_second',
      asked.log_rate_limit_in_bytes_per_second,
      process.log_rate_limit,
    ),
  };
  if (Object.keys(scale).length === 0) return;
  // Asked here: whether a manifest scales shows against the process as it is, which is read under its lock.
  if (!by.isAdmin) await requireFeature(trx, 'app_scaling');
  // A push restarts the app after this; making its instances anew twice would only cost time.
  await scaleProcess(trx, by.actor, app, process.guid, scale, {
    settings: context.settings,
    keepInstances: true,
    data: MANIFEST,
  });
}

function differing<Name extends string>(
  name: Name,
  wanted: number | undefined,
  is: number,
): Partial<Record<Name, number>> {
  return wanted === undefined || wanted === is ? {} : ({ [name]: wanted } as Record<Name, number>);
}

/** Gives what of it was changed, for the event. */
async function applyFeatures(trx: Trx, app: App, { features }: ManifestApp): Promise<object> {
  const changed = changedFeatures(app, features);
  if (Object.keys(changed).length === 0) return {};
  await setFeatures(trx, app.guid, changed);
  return { features: changed };
}

/** Commands may carry secrets: the event names the sidecars alone. */
async function applySidecars(trx: Trx, appGuid: Guid<'app'>, manifest: ManifestApp): Promise<object> {
  if (manifest.sidecars.length === 0) return {};
  for (const sidecar of manifest.sidecars) {
    const { memory_in_mb: memory, ...values } = sidecarBody(sidecar);
    await setSidecar(trx, appGuid, { ...values, memory_mb: memory ?? null });
  }
  await checkSidecarMemory(trx, appGuid);
  return { sidecars: manifest.sidecars.map(({ name }) => ({ name })) };
}
