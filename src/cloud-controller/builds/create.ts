import type { Static } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import type { App } from '../apps/store.ts';
import type { Actor } from '../authorization.ts';
import { readLifecycle } from '../buildpacks/lifecycle.ts';
import { chooseBuildpacks } from '../buildpacks/store.ts';
import type { Context } from '../context.ts';
import { checkPackageType, requireDocker } from '../docker/images.ts';
import { unprocessable } from '../errors.ts';
import { newGuid } from '../guid.ts';
import { newMetadata } from '../metadata.ts';
import { type PackageRow, packageOf } from '../packages/store.ts';
import { withinQuota } from '../quotas/within.ts';
import type { CreateBuild } from './schema.ts';
import { type BuildRow, insertBuild } from './store.ts';

/** Begins to stage a package, with the app's own lifecycle unless the body has another. Throws UnprocessableEntity, NoBuildpacksFound. */
export async function createBuild(
  { db, settings }: Context,
  app: App,
  source: PackageRow,
  body: Static<typeof CreateBuild>,
  actor: Actor,
): Promise<BuildRow> {
  if (source.state !== 'READY') throw unprocessable('Cannot stage package whose state is not ready.');
  const mostDisk = Math.max(settings.maximumAppDiskMb, settings.staging.diskMb);
  if ((body.staging_disk_in_mb ?? 0) > mostDisk) throw unprocessable('disk limit exceeded');
  await requireDocker(db, app.lifecycle);
  checkPackageType(app.lifecycle, packageOf(source).type);
  const lifecycle = await readLifecycle(db, body.lifecycle, app);
  if (lifecycle.lifecycle === 'buildpack') await chooseBuildpacks(db, lifecycle.buildpacks, lifecycle.stack);
  return db.transaction().execute(async (trx) => {
    const row = await withinQuota(trx, app, (counted) =>
      insertBuild(counted, {
        guid: newGuid<'build'>(),
        app_guid: app.guid,
        package_guid: source.guid,
        state: 'STAGING',
        droplet_guid: newGuid<'droplet'>(),
        ...lifecycle,
        staging_memory_mb: body.staging_memory_in_mb ?? settings.staging.memoryMb,
        staging_disk_mb: body.staging_disk_in_mb ?? settings.staging.diskMb,
        created_by_guid: actor.guid,
        created_by_name: actor.name,
        ...newMetadata(body.metadata),
      }),
    );
    await recordAppEvent(trx, 'audit.app.build.create', actor, app, {
      build_guid: row.guid,
      package_guid: source.guid,
    });
    return row;
  });
}
