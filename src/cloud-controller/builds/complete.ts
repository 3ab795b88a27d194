import { recordAppEvent, SYSTEM_ACTOR } from '../apps/events.ts';
import { logLine } from '../apps/log-lines.ts';
import { type App, findApp } from '../apps/store.ts';
import type { DropletBuildpack } from '../apps/tables.ts';
import type { Context } from '../context.ts';
import { type Db, now } from '../database.ts';
import { readStagingResult, type StagingResult, stagingError } from '../droplets/state.ts';
import { jsonb } from '../metadata.ts';
import type { Build } from './store.ts';

/** What Diego reports of a staging task. */
export interface Completion {
  failed: boolean;
  failureReason: string;
  result: string;
}

/**
 * Ends a build: a droplet where staging worked and the droplet's bytes are here as reported, else FAILED with the reason.
 * The same completion may come twice, and for builds that are gone.
 */
export async function completeBuild(context: Context, buildGuid: string, completion: Completion): Promise<void> {
  const { db, blobs } = context;
  const build = await db.selectFrom('builds').selectAll().where('guid', '=', buildGuid).executeTakeFirst();
  if (build?.state !== 'STAGING') return;
  const app = await findApp(db, build.app_guid);
  if (!app) return;
  const result = completion.failed ? null : readStagingResult(completion.result);
  const stored = result ? await blobs.stat('droplets', build.droplet_guid) : null;
  const reason = completion.failed
    ? completion.failureReason
    : result === null
      ? 'StagingError: the staging result could not be read'
      : stored?.sha256 !== result.droplet.sha256
        ? 'StagingError: the droplet did not arrive whole'
        : null;
  const changed = await db.transaction().execute(async (trx) => {
    if (reason !== null || !result) return failBuild(trx, build.guid, reason ?? '');
    return stageBuild(trx, app, build, result);
  });
  if (!changed) return;
  logLine(
    context,
    app,
    reason === null ? `Staged build ${build.guid}` : `Failed to stage build ${build.guid}: ${reason}`,
  );
}

/** Marks a build FAILED; false where it ended before. */
export async function failBuild(trx: Db, guid: string, reason: string): Promise<boolean> {
  const { code, description } = stagingError(reason);
  const ended = await trx
    .updateTable('builds')
    .set({ state: 'FAILED', error: `${code} - ${description}`, updated_at: now })
    .where('guid', '=', guid)
    .where('state', '=', 'STAGING')
    .returning('guid')
    .executeTakeFirst();
  return ended !== undefined;
}

async function stageBuild(trx: Db, app: App, build: Build, result: StagingResult): Promise<boolean> {
  const ended = await trx
    .updateTable('builds')
    .set({ state: 'STAGED', updated_at: now })
    .where('guid', '=', build.guid)
    .where('state', '=', 'STAGING')
    .returning('guid')
    .executeTakeFirst();
  if (!ended) return false;
  const buildpacks: DropletBuildpack[] = result.buildpacks.map((item, index, all) => ({
    name: item.name || item.key,
    detect_output: index === all.length - 1 ? result.detectedBuildpack || null : null,
    buildpack_name: item.name || null,
    version: item.version || null,
  }));
  await trx
    .insertInto('droplets')
    .values({
      guid: build.droplet_guid,
      app_guid: app.guid,
      package_guid: build.package_guid,
      state: 'STAGED',
      sha256: result.droplet.sha256,
      process_types: jsonb(result.processTypes),
      execution_metadata: result.executionMetadata,
      buildpacks: jsonb(buildpacks),
      sidecars: jsonb(result.sidecars),
      stack: build.stack,
    })
    .execute();
  await recordAppEvent(trx, 'audit.app.droplet.create', SYSTEM_ACTOR, app, {
    droplet_guid: build.droplet_guid,
    package_guid: build.package_guid,
    build_guid: build.guid,
  });
  return true;
}
