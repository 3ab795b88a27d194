import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { type Db, now } from '../database.ts';
import { requireDocker } from '../docker/images.ts';
import { unprocessable } from '../errors.ts';
import { endFarewell, keepServing, renewProcess, serveFarewell } from '../processes/outgoing.ts';
import { checkQuota, lockQuota } from '../processes/quota.ts';
import { findProcess, findProcessOfType, insertProcess, newProcess, processesOfApp } from '../processes/store.ts';
import { recordAppEvent } from './events.ts';
import { takeSidecarsOfDroplet } from './sidecars.ts';
import { type App, lockApp, touchApp } from './store.ts';

/**
 * What starts, stops and re-targets an app. Each runs in the caller's transaction, takes the organization's quota lock and
 * then the app's, and only writes what ought to be; the reconciler tells Diego after the commit.
 */

/** Starts every process with the current droplet. A started app stays as it is. */
export async function startApp(trx: Db, actor: Actor, guid: string, organization: App): Promise<App> {
  await lockQuota(trx, organization);
  const app = await lockApp(trx, guid);
  await requireDocker(trx, app.lifecycle);
  if (app.state === 'STARTED') return app;
  await startProcesses(trx, app);
  await recordAppEvent(trx, 'audit.app.start', actor, app);
  return lockApp(trx, guid);
}

export async function stopApp(trx: Db, actor: Actor, guid: string, organization: App): Promise<App> {
  await lockQuota(trx, organization);
  const app = await lockApp(trx, guid);
  if (app.state === 'STOPPED') return app;
  await stopProcesses(trx, app);
  await recordAppEvent(trx, 'audit.app.stop', actor, app);
  return lockApp(trx, guid);
}

/** A new version of every process: all instances are made anew (CC-07), with the current droplet and environment. */
export async function restartApp(trx: Db, actor: Actor, guid: string, organization: App): Promise<App> {
  await lockQuota(trx, organization);
  const app = await lockApp(trx, guid);
  await requireDocker(trx, app.lifecycle);
  await startProcesses(trx, app);
  await recordAppEvent(trx, 'audit.app.restart', actor, app);
  return lockApp(trx, guid);
}

async function startProcesses(trx: Db, app: App): Promise<void> {
  if (app.droplet_guid === null) throw unprocessable('Assign a droplet before starting this app.');
  await supersedeDeployments(trx, app);
  const revision = await reviseApp(trx, app, app.droplet_guid);
  await endFarewell(trx, app.guid);
  for (const process of await processesOfApp(trx, app.guid)) {
    await renewProcess(trx, app, process, {
      state: 'STARTED',
      droplet_guid: app.droplet_guid,
      revision_guid: revision,
    });
  }
  await touchApp(trx, app.guid, { state: 'STARTED' });
  await checkQuota(trx, app);
}

async function stopProcesses(trx: Db, app: App): Promise<void> {
  await supersedeDeployments(trx, app);
  for (const process of await processesOfApp(trx, app.guid)) await serveFarewell(trx, app, process);
  await trx
    .updateTable('processes')
    .set({ state: 'STOPPED', updated_at: now })
    .where('app_guid', '=', app.guid)
    .execute();
  await touchApp(trx, app.guid, { state: 'STOPPED' });
}

/**
 * A deployment under way ends when its app is started or stopped by hand or deployed again: the newer process stays, or the
 * older one where the newer is a canary that nobody promoted.
 */
export async function supersedeDeployments(trx: Db, app: App): Promise<void> {
  const active = await trx
    .updateTable('deployments')
    .set({ status_value: 'FINALIZED', status_reason: 'SUPERSEDED', status_updated_at: now, updated_at: now })
    .where('app_guid', '=', app.guid)
    .where('status_value', '=', 'ACTIVE')
    .returningAll()
    .execute();
  for (const { strategy, promoted, ...deployment } of active) {
    const isTrial = strategy === 'canary' && !promoted;
    const [leaves, stays] = isTrial
      ? [deployment.new_process_guid, deployment.old_process_guid]
      : [deployment.old_process_guid, deployment.new_process_guid];
    const leaving = await findProcess(trx, leaves);
    if (leaving?.state === 'STARTED') await keepServing(trx, app, leaving, stays);
    await trx.deleteFrom('processes').where('guid', '=', leaves).execute();
    const instances = isTrial
      ? deployment.original_instances
      : (deployment.web_instances ?? deployment.original_instances);
    await trx.updateTable('processes').set({ instances, updated_at: now }).where('guid', '=', stays).execute();
  }
}

/** A revision for each droplet an app is started with; none where the feature is off. Gives its guid. */
export async function reviseApp(trx: Db, app: App, dropletGuid: string): Promise<string | null> {
  if (!app.revisions_enabled) return null;
  const last = await trx
    .selectFrom('revisions')
    .selectAll()
    .where('app_guid', '=', app.guid)
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (last?.droplet_guid === dropletGuid) return last.guid;
  const guid = crypto.randomUUID();
  await trx
    .insertInto('revisions')
    .values({
      guid,
      app_guid: app.guid,
      version: (last?.version ?? 0) + 1,
      droplet_guid: dropletGuid,
      description: last ? 'New droplet deployed.' : 'Initial revision.',
    })
    .execute();
  return guid;
}

/** Makes a staged droplet of the app its current one, with a process for each type it names. */
export async function assignDroplet(
  trx: Db,
  context: Pick<Context, 'settings'>,
  actor: Actor,
  guid: string,
  dropletGuid: string | null,
): Promise<App> {
  const app = await lockApp(trx, guid);
  if (dropletGuid === null && app.state === 'STARTED') {
    throw unprocessable('Cannot remove the current droplet of a started app. Stop the app first.');
  }
  if (dropletGuid !== null) {
    const droplet = await trx
      .selectFrom('droplets')
      .selectAll()
      .where('guid', '=', dropletGuid)
      .where('app_guid', '=', guid)
      .where('state', '=', 'STAGED')
      .executeTakeFirst();
    if (!droplet) {
      throw unprocessable('Unable to assign current droplet. Ensure the droplet exists and belongs to this app.');
    }
    for (const type of Object.keys(droplet.process_types)) await ensureProcess(trx, context, app, type, actor);
    await takeSidecarsOfDroplet(trx, guid, droplet.sidecars);
  }
  await touchApp(trx, guid, { droplet_guid: dropletGuid });
  await recordAppEvent(trx, 'audit.app.droplet.mapped', actor, app, { request: { droplet_guid: dropletGuid } });
  return lockApp(trx, guid);
}

/** The process of a type, made where there is none. */
export async function ensureProcess(trx: Db, context: Pick<Context, 'settings'>, app: App, type: string, actor: Actor) {
  const existing = await findProcessOfType(trx, app.guid, type);
  if (existing) return existing;
  // Inside a started app it begins with the droplet that runs.
  const running = await findProcessOfType(trx, app.guid, 'web');
  const process = await insertProcess(trx, {
    ...newProcess(app, type, context.settings.defaults),
    droplet_guid: running?.droplet_guid ?? null,
    revision_guid: running?.revision_guid ?? null,
  });
  await recordAppEvent(trx, 'audit.app.process.create', actor, app, { process_guid: process.guid, process_type: type });
  return process;
}
