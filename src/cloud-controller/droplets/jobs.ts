import { recordAppEvent } from '../apps/events.ts';
import { lockApp } from '../apps/store.ts';
import type { Context } from '../context.ts';
import { guid } from '../guid.ts';
import type { Job } from '../jobs/store.ts';
import { deleteBlob, forget } from '../storage/ledger.ts';
import { deleteDroplet, findDroplet, isDropletInUse } from './store.ts';

/** Job "droplet.delete". Fine where it is gone already; what is in use stays. */
export async function deleteDropletJob(context: Context, job: Job): Promise<undefined> {
  const own = guid<'droplet'>(job.resourceGuid ?? '');
  const deleted = await context.db.transaction().execute(async (trx) => {
    const droplet = await findDroplet(trx, own);
    if (!droplet) return false;
    const app = await lockApp(trx, droplet.app_guid);
    // It may have come into use since it was asked for.
    if (await isDropletInUse(trx, own)) return false;
    if (!(await deleteDroplet(trx, own))) return false;
    await recordAppEvent(trx, 'audit.app.droplet.delete', job.actor, app, { droplet_guid: own });
    await forget(trx, [{ kind: 'droplets', key: own }]);
    return true;
  });
  if (deleted) await deleteBlob(context, 'droplets', own);
}
