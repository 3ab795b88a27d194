import type { Sealer } from '../../kit/crypto.ts';
import { updateApp } from '../apps/changes.ts';
import { setFeatures } from '../apps/environment.ts';
import { recordAppEvent } from '../apps/events.ts';
import { ensureProcess } from '../apps/lifecycle.ts';
import { logLine } from '../apps/log-lines.ts';
import { checkSidecarMemory, setSidecar } from '../apps/sidecars.ts';
import { type App, findApp, lockApp } from '../apps/store.ts';
import { mergeVariables } from '../apps/variables.ts';
import type { Context } from '../context.ts';
import type { Db } from '../database.ts';
import { CfError } from '../errors.ts';
import type { Job } from '../jobs/store.ts';
import { changeProcess, scaleProcess } from '../processes/changes.ts';
import { lockQuota } from '../processes/quota.ts';
import type { ManifestApp, ManifestHealthCheck, ManifestProcess } from './manifest.ts';
import { applyRoutes, type By } from './routes.ts';

/** What the job needs: which app gets what. Sealed, since manifests carry environment variables. */
export interface Plan {
  isAdmin: boolean;
  apps: { guid: string; manifest: ManifestApp }[];
}

const contextOf = (spaceGuid: string): string => `jobs.apply_manifest:${spaceGuid}`;

/** The plan as the job's input. */
export function sealPlan(sealer: Sealer, spaceGuid: string, plan: Plan): Record<string, string> {
  const { keyLabel, data } = sealer.seal(JSON.stringify(plan), contextOf(spaceGuid));
  return { key_label: keyLabel, plan: data.toString('base64') };
}

function openPlan(sealer: Sealer, job: Job): Plan {
  const sealed = { keyLabel: String(job.input['key_label']), data: Buffer.from(String(job.input['plan']), 'base64') };
  return JSON.parse(sealer.open(sealed, contextOf(job.resourceGuid ?? ''))) as Plan;
}

/** Job "space.apply_manifest". Every step may be done twice. An app that was deleted meanwhile is passed over. */
export async function applyManifestJob(context: Context, job: Job): Promise<undefined> {
  const plan = openPlan(context.sealer, job);
  for (const { guid, manifest } of plan.apps) {
    try {
      await applyToApp(context, guid, manifest, { actor: job.actor, isAdmin: plan.isAdmin });
    } catch (error) {
      if (!(error instanceof CfError)) throw error;
      throw new CfError(error.title, `For application '${manifest.name}': ${error.detail}`, { cause: error });
    }
  }
  context.wakeDiego();
}

const MANIFEST = { manifest_triggered: true };

async function applyToApp(context: Context, guid: string, manifest: ManifestApp, by: By): Promise<void> {
  const { db } = context;
  const place = await findApp(db, guid);
  if (!place) return;
  if (manifest.services.length > 0) {
    throw new CfError('ResourceNotFound', `Service instance '${manifest.services[0]}' not found`);
  }
  await db.transaction().execute((trx) => setFeatures(trx, guid, manifest.features));
  for (const process of manifest.processes) {
    await db.transaction().execute((trx) => applyProcess(trx, context, place, process, by));
  }
  const app = await db.transaction().execute(async (trx) => {
    await applySidecars(trx, guid, manifest);
    const { buildpacks, stack, metadata, env } = manifest;
    const data =
      place.lifecycle === 'docker'
        ? {}
        : { ...(buildpacks ? { buildpacks } : {}), ...(stack === undefined ? {} : { stack }) };
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

async function applyProcess(trx: Db, context: Context, place: App, wanted: ManifestProcess, by: By): Promise<void> {
  // The quota's lock comes before the app's, here as everywhere, so that two changes never wait for each other.
  await lockQuota(trx, place);
  const app = await lockApp(trx, place.guid);
  const process = await ensureProcess(trx, context, app, wanted.type, by.actor);
  const health = checkBody(wanted.healthCheck);
  const readiness = checkBody(wanted.readinessCheck);
  const change = {
    ...(wanted.command === undefined ? {} : { command: wanted.command }),
    ...(health ? { health_check: health } : {}),
    ...(readiness ? { readiness_health_check: readiness } : {}),
  };
  if (Object.keys(change).length > 0) await changeProcess(trx, by.actor, app, process.guid, change, MANIFEST);
  const scale = {
    ...differing('instances', wanted.instances, process.instances),
    ...differing('memory_in_mb', wanted.memoryMb, process.memory_mb),
    ...differing('disk_in_mb', wanted.diskMb, process.disk_mb),
    ...differing('log_rate_limit_in_bytes_per_second', wanted.logRateLimit, process.log_rate_limit),
  };
  if (Object.keys(scale).length === 0) return;
  // A push restarts the app after this; making its instances anew twice would only cost time.
  await scaleProcess(trx, by.actor, app, process.guid, scale, {
    isAdmin: by.isAdmin,
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

function checkBody(check: ManifestHealthCheck) {
  const { type, endpoint, timeout, invocationTimeout, interval } = check;
  const data = {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(invocationTimeout === undefined ? {} : { invocation_timeout: invocationTimeout }),
    ...(interval === undefined ? {} : { interval }),
  };
  const known: 'http' | 'port' | 'process' | undefined =
    type === 'http' || type === 'port' || type === 'process' ? type : undefined;
  if (known === undefined && Object.keys(data).length === 0) return null;
  return { ...(known === undefined ? {} : { type: known }), data };
}

async function applySidecars(trx: Db, appGuid: string, manifest: ManifestApp): Promise<void> {
  for (const { name, command, processTypes, memoryMb } of manifest.sidecars) {
    await setSidecar(trx, appGuid, { name, command, process_types: processTypes, memory_mb: memoryMb });
  }
  if (manifest.sidecars.length > 0) await checkSidecarMemory(trx, appGuid);
}
