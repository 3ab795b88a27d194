import { recordEvent } from '../audit-events/store.ts';
import type { Context } from '../context.ts';
import type { Job } from '../jobs/store.ts';
import { deleteBlob } from '../storage/ledger.ts';
import { buildpackEvent } from './events.ts';
import { closeUp, deleteBuildpack, lockPositions } from './store.ts';

/** Job "buildpack.delete". Fine where it is gone already. */
export async function deleteBuildpackJob(context: Context, job: Job): Promise<undefined> {
  const key = await context.db.transaction().execute(async (trx) => {
    await lockPositions(trx);
    const deleted = await deleteBuildpack(trx, job.resourceGuid ?? '');
    if (!deleted) return null;
    await closeUp(trx);
    await recordEvent(trx, buildpackEvent('audit.buildpack.delete', job.actor, deleted, { request: {} }));
    return deleted.blob_key;
  });
  if (key) await deleteBlob(context, 'buildpacks', key);
}
