import { findApp } from '../apps/store.ts';
import type { AfterCommit, Context, GoingApp } from '../context.ts';
import type { Trx } from '../database.ts';
import { type Guid, guid } from '../guid.ts';
import type { Job } from '../jobs/store.ts';
import { release } from '../storage/ledger.ts';

/** Where the buildpacks' cache of an app lies: one a stack, since what is compiled for one does not run on another. */
export function cacheKey(appGuid: Guid<'app'>, stack: string): string {
  return `${appGuid}-${stack}`;
}

/** Job "buildpack_cache.delete". */
export async function clearCacheJob(context: Context, job: Job): Promise<undefined> {
  const app = await findApp(context.db, guid<'app'>(job.resourceGuid ?? ''));
  if (app) await clearCaches(context, [cacheKey(app.guid, app.stack)]);
}

/** Job "buildpack_caches.delete": those of all apps, for every stack they may have had. */
export async function clearCachesJob(context: Context): Promise<undefined> {
  const stacks = await context.db.selectFrom('stacks').select('name').execute();
  const apps = await context.db.selectFrom('apps').select('guid').execute();
  await clearCaches(
    context,
    apps.flatMap(({ guid }) => stacks.map(({ name }) => cacheKey(guid, name))),
  );
}

async function clearCaches(context: Context, keys: readonly string[]): Promise<void> {
  const kind = 'buildpack-caches';
  const finish = await context.db.transaction().execute((trx) =>
    release(
      context,
      trx,
      keys.map((key) => ({ kind, key })),
    ),
  );
  await finish();
}

/** The cache of an app that goes, and the droplets of its builds: one under way may have uploaded its own already. */
export async function deleteStagedOfApp(context: Context, trx: Trx, app: GoingApp): Promise<AfterCommit> {
  const builds = await trx.selectFrom('builds').select('droplet_guid').where('app_guid', '=', app.guid).execute();
  return release(context, trx, [
    ...builds.map((row) => ({ kind: 'droplets', key: row.droplet_guid }) as const),
    { kind: 'buildpack-caches', key: cacheKey(app.guid, app.stack) },
  ]);
}
