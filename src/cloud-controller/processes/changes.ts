import type { Static } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import { type App, lockApp } from '../apps/store.ts';
import type { Actor } from '../authorization.ts';
import type { Settings } from '../context.ts';
import type { Trx } from '../database.ts';
import { notFound, unprocessable } from '../errors.ts';
import { changeMetadata } from '../metadata.ts';
import { type Counted, withinQuota } from '../quotas/within.ts';
import { checkDisk } from './disk.ts';
import { checkEndpoints } from './endpoints.ts';
import { renewProcess } from './outgoing.ts';
import type { ScaleProcess, UpdateProcess } from './schema.ts';
import { checkSidecarMemory } from './sidecar-memory.ts';
import { findProcess, isDeploying, type Process, resizeProcess, updateProcess } from './store.ts';

/** Sets command and health checks; running instances keep theirs until the app is restarted. */
export async function changeProcess(
  trx: Trx,
  actor: Actor,
  app: App,
  guid: string,
  body: Static<typeof UpdateProcess>,
  data: { manifest_triggered?: true } = {},
): Promise<Process> {
  await lockApp(trx, app.guid);
  const before = await findProcess(trx, guid);
  if (!before) throw notFound('Process');
  const { health_check: health, readiness_health_check: readiness } = body;
  const after = await updateProcess(trx, guid, {
    command: body.command,
    health_check_type: health?.type,
    health_check_timeout: health?.data?.timeout,
    health_check_invocation_timeout: health?.data?.invocation_timeout,
    health_check_interval: health?.data?.interval,
    health_check_endpoint: health?.data?.endpoint,
    readiness_type: readiness?.type,
    readiness_invocation_timeout: readiness?.data?.invocation_timeout,
    readiness_interval: readiness?.data?.interval,
    readiness_endpoint: readiness?.data?.endpoint,
  });
  checkEndpoints(body, after);
  // An endpoint says nothing to other kinds of checks; a later "http" begins with its default again.
  if (after.health_check_type !== 'http') await updateProcess(trx, guid, { health_check_endpoint: null });
  if (after.readiness_type !== 'http') await updateProcess(trx, guid, { readiness_endpoint: null });
  if (body.metadata) await changeMetadata(trx, 'processes', guid, body.metadata, notFound('Process'));
  const request = { ...body, ...data, process_guid: guid, process_type: before.type };
  await recordAppEvent(trx, 'audit.app.process.update', actor, app, { ...request });
  return (await findProcess(trx, guid))!;
}

/**
 * Sets instances and sizes within the quotas. More or fewer instances take effect at once; a new memory limit makes the
 * running instances anew unless `keepInstances`.
 */
export async function scaleProcess(
  trx: Trx,
  actor: Actor,
  app: App,
  guid: string,
  body: Static<typeof ScaleProcess>,
  options: {
    settings: Pick<Settings, 'maximumAppDiskMb'>;
    keepInstances?: boolean;
    data?: { manifest_triggered?: true };
  },
): Promise<Process> {
  checkDisk(options.settings, body.disk_in_mb);
  return withinQuota(trx, app, (counted) => scale(counted, actor, app, guid, body, options));
}

async function scale(
  trx: Counted,
  actor: Actor,
  app: App,
  guid: string,
  body: Static<typeof ScaleProcess>,
  options: { keepInstances?: boolean; data?: { manifest_triggered?: true } },
): Promise<Process> {
  await lockApp(trx, app.guid);
  const before = await findProcess(trx, guid);
  if (!before) throw notFound('Process');
  if (before.type === 'web' && (await isDeploying(trx, app.guid))) {
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
  const process = anew ? await renewProcess(trx, app, before, scaled) : await resizeProcess(trx, guid, scaled);
  await checkSidecarMemory(trx, app.guid);
  await recordAppEvent(trx, 'audit.app.process.scale', actor, app, {
    ...options.data,
    process_guid: guid,
    process_type: before.type,
    request: body,
  });
  return process;
}
