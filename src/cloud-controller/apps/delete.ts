import type { BlobKind } from '../../contracts/blobs.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import type { Job } from '../jobs/store.ts';
import { recordAppEvent } from './events.ts';
import { logLine } from './log-lines.ts';
import { findApp, lockApp } from './store.ts';

/** Job "app.delete". Fine where the app is gone already. */
export async function deleteAppJob(context: Context, job: Job): Promise<undefined> {
  await deleteApp(context, job.resourceGuid ?? '', job.actor);
}

/**
 * Deletes an app with all that hangs on it: rows in one transaction, then its LRPs and tasks (by the reconciler, which
 * finds them unwanted) and its blobs.
 */
export async function deleteApp(context: Context, guid: string, actor: Actor): Promise<void> {
  const { db } = context;
  if (!(await findApp(db, guid))) return;
  const { app, blobs } = await db.transaction().execute(async (trx) => {
    const app = await lockApp(trx, guid);
    const packages = await trx.selectFrom('packages').select('guid').where('app_guid', '=', guid).execute();
    const droplets = await trx.selectFrom('droplets').select('guid').where('app_guid', '=', guid).execute();
    const builds = await trx.selectFrom('builds').select('droplet_guid').where('app_guid', '=', guid).execute();
    await trx.deleteFrom('route_destinations').where('app_guid', '=', guid).execute();
    await trx.deleteFrom('apps').where('guid', '=', guid).execute();
    await recordAppEvent(trx, 'audit.app.delete-request', actor, app, { request: { recursive: true } });
    const blobs: [BlobKind, string][] = [
      ...packages.map((row): [BlobKind, string] => ['packages', row.guid]),
      ...droplets.map((row): [BlobKind, string] => ['droplets', row.guid]),
      ...builds.map((row): [BlobKind, string] => ['droplets', row.droplet_guid]),
      ['buildpack-caches', cacheKey(guid, app.stack)],
    ];
    return { app, blobs };
  });
  context.wakeDiego();
  logLine(context, app, `Deleted app with guid ${guid}`);
  for (const [kind, key] of blobs) await deleteBlob(context, kind, key);
}

/** Where the buildpacks' cache of an app lies: one a stack, since what is compiled for one does not run on another. */
export function cacheKey(appGuid: string, stack: string): string {
  return `${appGuid}-${stack}`;
}

/** A blob that stays behind costs space and nothing else, so it never fails the caller. */
export async function deleteBlob(context: Pick<Context, 'blobs' | 'log'>, kind: BlobKind, key: string): Promise<void> {
  await context.blobs.delete(kind, key).catch((error: unknown) => {
    context.log.warn('a blob was not deleted', { kind, blob: key, error });
  });
}

/** Jobs "package.delete", "droplet.delete" and "buildpack_cache.delete". */
export async function deletePackageJob(context: Context, job: Job): Promise<undefined> {
  const guid = job.resourceGuid ?? '';
  await context.db.deleteFrom('packages').where('guid', '=', guid).execute();
  await deleteBlob(context, 'packages', guid);
}

export async function deleteDropletJob(context: Context, job: Job): Promise<undefined> {
  const guid = job.resourceGuid ?? '';
  const { db } = context;
  // It may have become somebody's current droplet since it was asked for.
  const used = await db.selectFrom('apps').select('guid').where('droplet_guid', '=', guid).executeTakeFirst();
  if (used) return;
  await db.deleteFrom('droplets').where('guid', '=', guid).execute();
  await deleteBlob(context, 'droplets', guid);
}

export async function clearCacheJob(context: Context, job: Job): Promise<undefined> {
  const app = await findApp(context.db, job.resourceGuid ?? '');
  if (app) await deleteBlob(context, 'buildpack-caches', cacheKey(app.guid, app.stack));
}
