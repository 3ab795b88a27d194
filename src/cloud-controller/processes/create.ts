import type { Insertable } from 'kysely';
import { recordAppEvent } from '../apps/events.ts';
import type { App } from '../apps/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context, Settings } from '../context.ts';
import type { Trx } from '../database.ts';
import { findProcessOfType, insertIdleProcess, type Process, type ProcessTable } from './store.ts';

/** A process as it begins: the web one runs once and is watched at its port, others wait to be scaled. */
function newProcess(
  app: Pick<App, 'guid' | 'state'>,
  type: string,
  defaults: Settings['defaults'],
): Insertable<ProcessTable> & { guid: string } {
  return {
    // Clients and the field expect the web process to carry its app's guid.
    guid: type === 'web' ? app.guid : crypto.randomUUID(),
    app_guid: app.guid,
    type,
    instances: type === 'web' ? 1 : 0,
    memory_mb: defaults.memoryMb,
    disk_mb: defaults.diskMb,
    log_rate_limit: -1,
    health_check_type: type === 'web' ? 'port' : 'process',
    state: app.state,
    version: crypto.randomUUID(),
  };
}

/** The web process of a new app. */
export async function createWebProcess(
  trx: Trx,
  { settings }: Pick<Context, 'settings'>,
  app: App,
  actor: Actor,
  data: { manifest_triggered?: true },
): Promise<void> {
  const web = newProcess({ guid: app.guid, state: 'STOPPED' }, 'web', settings.defaults);
  const { guid } = await insertIdleProcess(trx, { ...web, state: 'STOPPED' });
  await recordAppEvent(trx, 'audit.app.process.create', actor, app, {
    ...data,
    process_guid: guid,
    process_type: 'web',
  });
}

/** The process of a type, made where there is none. */
export async function ensureProcess(
  trx: Trx,
  context: Pick<Context, 'settings'>,
  app: App,
  type: string,
  actor: Actor,
): Promise<Process> {
  const existing = await findProcessOfType(trx, app.guid, type);
  if (existing) return existing;
  // Inside a started app it begins with the droplet that runs.
  const running = await findProcessOfType(trx, app.guid, 'web');
  const begins = {
    ...newProcess(app, type, context.settings.defaults),
    droplet_guid: running?.droplet_guid ?? null,
    revision_guid: running?.revision_guid ?? null,
  };
  const idle = app.state === 'STOPPED' ? { ...begins, state: app.state } : { ...begins, instances: 0 as const };
  const process = await insertIdleProcess(trx, idle);
  await recordAppEvent(trx, 'audit.app.process.create', actor, app, { process_guid: process.guid, process_type: type });
  return process;
}
