import { recordAppEvent } from '../apps/events.ts';
import { findApp } from '../apps/store.ts';
import type { Context } from '../context.ts';
import { guid } from '../guid.ts';
import type { Job } from '../jobs/store.ts';
import { deleteBlob, forget } from '../storage/ledger.ts';
import { deletePackage } from './store.ts';

/** Job "package.delete". Fine where it is gone already. */
export async function deletePackageJob(context: Context, job: Job): Promise<undefined> {
  const own = guid<'package'>(job.resourceGuid ?? '');
  await context.db.transaction().execute(async (trx) => {
    const appGuid = await deletePackage(trx, own);
    const app = appGuid === null ? null : await findApp(trx, appGuid);
    if (app) await recordAppEvent(trx, 'audit.app.package.delete', job.actor, app, { package_guid: own });
    await forget(trx, [{ kind: 'packages', key: own }]);
  });
  await deleteBlob(context, 'packages', own);
}
