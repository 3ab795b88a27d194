import { recordAppEvent } from '../apps/events.ts';
import { type App, lockApp, writeApp } from '../apps/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import type { Trx } from '../database.ts';
import { findStagedDroplet } from '../droplets/store.ts';
import { unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { ensureProcess } from '../processes/create.ts';
import { takeSidecarsOfDroplet } from '../sidecars/changes.ts';

/** Makes a staged droplet of the app its current one, with a process for each type it names. */
export async function assignDroplet(
  trx: Trx,
  context: Pick<Context, 'settings'>,
  actor: Actor,
  guid: Guid<'app'>,
  dropletGuid: Guid<'droplet'> | null,
): Promise<App> {
  const app = await lockApp(trx, guid);
  if (dropletGuid === null && app.state === 'STARTED') {
    throw unprocessable('Cannot remove the current droplet of a started app. Stop the app first.');
  }
  if (dropletGuid !== null) {
    const droplet = await findStagedDroplet(trx, guid, dropletGuid);
    if (!droplet) {
      throw unprocessable('Unable to assign current droplet. Ensure the droplet exists and belongs to this app.');
    }
    for (const type of Object.keys(droplet.process_types)) await ensureProcess(trx, context, app, type, actor);
    await takeSidecarsOfDroplet(trx, guid, droplet.sidecars);
  }
  await writeApp(trx, guid, { droplet_guid: dropletGuid });
  await recordAppEvent(trx, 'audit.app.droplet.mapped', actor, app, { request: { droplet_guid: dropletGuid } });
  return lockApp(trx, guid);
}
