import { recordAppEvent } from '../apps/events.ts';
import { type App, lockApp, writeApp } from '../apps/store.ts';
import type { Actor } from '../authorization.ts';
import type { Trx } from '../database.ts';
import { requireDocker } from '../docker/images.ts';
import { unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { beginGrace, endGrace, renewProcess } from '../processes/outgoing.ts';
import { processesOfApp, resizeProcess } from '../processes/store.ts';
import { type Counted, withinQuota } from '../quotas/within.ts';
import { reviseApp } from '../revisions/revise.ts';
import { supersedeDeployments } from './supersede.ts';

/**
 * What starts and stops an app. Each runs in the caller's transaction, takes the organization's quota lock and then the app's,
 * and only writes what ought to be; the reconciler tells Diego after the commit.
 */

/** Starts every process with the current droplet. A started app stays as it is. */
export async function startApp(outer: Trx, actor: Actor, guid: Guid<'app'>, organization: App): Promise<App> {
  return withinQuota(outer, organization, async (trx) => {
    const app = await lockApp(trx, guid);
    await requireDocker(trx, app.lifecycle);
    if (app.state === 'STARTED') return app;
    await startProcesses(trx, actor, app);
    await recordAppEvent(trx, 'audit.app.start', actor, app, {});
    return lockApp(trx, guid);
  });
}

export async function stopApp(outer: Trx, actor: Actor, guid: Guid<'app'>, organization: App): Promise<App> {
  return withinQuota(outer, organization, async (trx) => {
    const app = await lockApp(trx, guid);
    if (app.state === 'STOPPED') return app;
    await stopProcesses(trx, app);
    await recordAppEvent(trx, 'audit.app.stop', actor, app, {});
    return lockApp(trx, guid);
  });
}

/** A new version of every process: all instances are made anew (CC-07), with the current droplet and environment. */
export async function restartApp(outer: Trx, actor: Actor, guid: Guid<'app'>, organization: App): Promise<App> {
  return withinQuota(outer, organization, async (trx) => {
    const app = await lockApp(trx, guid);
    await requireDocker(trx, app.lifecycle);
    await startProcesses(trx, actor, app);
    await recordAppEvent(trx, 'audit.app.restart', actor, app, {});
    return lockApp(trx, guid);
  });
}

async function startProcesses(trx: Counted, actor: Actor, app: App): Promise<void> {
  if (app.droplet_guid === null) throw unprocessable('Assign a droplet before starting this app.');
  await supersedeDeployments(trx, app);
  const revision = await reviseApp(trx, actor, app, app.droplet_guid);
  await endGrace(trx, app.guid);
  for (const process of await processesOfApp(trx, app.guid)) {
    await renewProcess(trx, app, process, {
      state: 'STARTED',
      droplet_guid: app.droplet_guid,
      revision_guid: revision,
    });
  }
  await writeApp(trx, app.guid, { state: 'STARTED' });
}

async function stopProcesses(trx: Counted, app: App): Promise<void> {
  await supersedeDeployments(trx, app);
  for (const process of await processesOfApp(trx, app.guid)) {
    await beginGrace(trx, app, process);
    await resizeProcess(trx, process.guid, { state: 'STOPPED' });
  }
  await writeApp(trx, app.guid, { state: 'STOPPED' });
}
