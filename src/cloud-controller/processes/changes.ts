import type { Static } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import { checkSidecarMemory } from '../apps/sidecars.ts';
import { type App, lockApp } from '../apps/store.ts';
import type { Actor } from '../authorization.ts';
import { type Db, now } from '../database.ts';
import { CfError, notFound, unprocessable } from '../errors.ts';
import { isFeatureEnabled } from '../feature-flags/store.ts';
import { mergeMetadata, metadataColumns } from '../metadata.ts';
import { renewProcess } from './outgoing.ts';
import { checkQuota, lockQuota } from './quota.ts';
import type { ScaleProcess, UpdateProcess } from './schema.ts';
import { findProcess, type Process, updateProcess } from './store.ts';

/** Sets command and health checks; running instances keep theirs until the app is restarted. */
export async function changeProcess(
  trx: Db,
  actor: Actor,
  app: App,
  guid: string,
  body: Static<typeof UpdateProcess>,
  data: Record<string, unknown> = {},
): Promise<Process> {
  await lockApp(trx, app.guid);
  const before = await findProcess(trx, guid);
  if (!before) throw notFound('Process');
  const { health_check: health, readiness_health_check: readiness } = body;
  const after = await updateProcess(trx, guid, {
    ...(body.command === undefined ? {} : { command: body.command }),
    ...(health?.type === undefined ? {} : { health_check_type: health.type }),
    ...(health?.data?.timeout === undefined ? {} : { health_check_timeout: health.data.timeout }),
    ...(health?.data?.invocation_timeout === undefined
      ? {}
      : { health_check_invocation_timeout: health.data.invocation_timeout }),
    ...(health?.data?.interval === undefined ? {} : { health_check_interval: health.data.interval }),
    ...(health?.data?.endpoint === undefined ? {} : { health_check_endpoint: health.data.endpoint }),
    ...(readiness?.type === undefined ? {} : { readiness_type: readiness.type }),
    ...(readiness?.data?.invocation_timeout === undefined
      ? {}
      : { readiness_invocation_timeout: readiness.data.invocation_timeout }),
    ...(readiness?.data?.interval === undefined ? {} : { readiness_interval: readiness.data.interval }),
    ...(readiness?.data?.endpoint === undefined ? {} : { readiness_endpoint: readiness.data.endpoint }),
  });
  for (const [type, endpoint, what] of [
    [after.health_check_type, after.health_check_endpoint, 'Health check'],
    [after.readiness_type, after.readiness_endpoint, 'Readiness health check'],
  ] as const) {
    if (type !== 'http' && endpoint !== null) {
      if (body.health_check?.data?.endpoint ?? body.readiness_health_check?.data?.endpoint) {
        throw unprocessable(`${what} type must be "http" to set a health check HTTP endpoint.`);
      }
    }
  }
  // An endpoint says nothing to other kinds of checks; a later "http" begins with its default again.
  if (after.health_check_type !== 'http') await updateProcess(trx, guid, { health_check_endpoint: null });
  if (after.readiness_type !== 'http') await updateProcess(trx, guid, { readiness_endpoint: null });
  if (body.metadata) {
    await trx
      .updateTable('processes')
      .set({ ...metadataColumns(mergeMetadata(before, body.metadata)), updated_at: now })
      .where('guid', '=', guid)
      .execute();
  }
  const request = { ...body, ...data, process_guid: guid, process_type: before.type };
  await recordAppEvent(trx, 'audit.app.process.update', actor, app, { ...request });
  return (await findProcess(trx, guid))!;
}

/**
 * Sets instances and sizes within the quotas. More or fewer instances take effect at once; a new memory limit makes the
 * running instances anew unless `keepInstances`.
 */
export async function scaleProcess(
  trx: Db,
  actor: Actor,
  app: App,
  guid: string,
  body: Static<typeof ScaleProcess>,
  options: { isAdmin: boolean; keepInstances?: boolean; data?: Record<string, unknown> },
): Promise<Process> {
  if (!options.isAdmin && !(await isFeatureEnabled(trx, 'app_scaling'))) {
    throw new CfError('FeatureDisabled', 'Feature Disabled: app_scaling');
  }
  await lockQuota(trx, app);
  await lockApp(trx, app.guid);
  const before = await findProcess(trx, guid);
  if (!before) throw notFound('Process');
  const deploying = await trx
    .selectFrom('deployments')
    .select('guid')
    .where('app_guid', '=', app.guid)
    .where('status_value', '=', 'ACTIVE')
    .executeTakeFirst();
  if (deploying && before.type === 'web') {
    throw unprocessable('Cannot scale this process while a deployment is in flight.');
  }
  const memory = body.memory_in_mb ?? before.memory_mb;
  const anew = memory !== before.memory_mb && before.state === 'STARTED' && !options.keepInstances;
  const scaled = {
    instances: body.instances ?? before.instances,
    memory_mb: memory,
    disk_mb: body.disk_in_mb ?? before.disk_mb,
    log_rate_limit: body.log_rate_limit_in_bytes_per_second ?? before.log_rate_limit,
  };
  const process = anew ? await renewProcess(trx, app, before, scaled) : await updateProcess(trx, guid, scaled);
  await checkQuota(trx, app);
  await checkSidecarMemory(trx, app.guid);
  await recordAppEvent(trx, 'audit.app.process.scale', actor, app, {
    ...options.data,
    process_guid: guid,
    process_type: before.type,
    request: body,
  });
  return process;
}
