import type { Task } from '../../contracts/gen/diego_pb.js';
import { messageOf } from '../../kit/errors.ts';
import { openVariables } from '../apps/sealed-variables.ts';
import { type App, findApp, findAppWithVariables, identityOf, urisOfApp } from '../apps/store.ts';
import { FILE_DESCRIPTORS } from '../apps/vcap-application.ts';
import { chooseBuildpacks } from '../buildpacks/store.ts';
import type { Context } from '../context.ts';
import { inTurn } from '../database.ts';
import { cancelTasks } from '../diego/cancel.ts';
import { egressRules } from '../diego/egress-rules.ts';
import { stagingEnvironment } from '../diego/environment.ts';
import { imageStagingTask, STAGING_DOMAIN, type StagingRecipe, stagingTask } from '../diego/recipe.ts';
import { openImage } from '../docker/images.ts';
import { readGroup } from '../environment-variable-groups/store.ts';
import { CfError } from '../errors.ts';
import { placementTags } from '../isolation-segments/placement.ts';
import { findSealedPackage } from '../packages/store.ts';
import { cacheKey } from './caches.ts';
import { completeBuild, failBuild } from './complete.ts';
import { type BuildRow, markDesired, stagingBuilds } from './store.ts';

/** Room for the cells to fetch and store, beside the time staging may take. */
const URL_GRACE_SECONDS = 900;

/**
 * Brings builds and Diego's staging tasks together: hands over what waits, ends what ended, gives up what was lost.
 * True where something is to be tried again soon.
 */
export async function syncStaging(context: Context): Promise<boolean> {
  let again = false;
  const { db, bbs, settings, log } = context;
  const { tasks } = await bbs.tasks({ domain: STAGING_DOMAIN });
  const builds = await stagingBuilds(db);
  const known = new Map(tasks.map((task) => [task.taskGuid, task]));
  const wanted = new Set<string>(builds.map((build) => build.guid));
  for (const build of builds) {
    const task = known.get(build.guid);
    const age = context.clock().getTime() - (build.desired_at ?? build.created_at).getTime();
    try {
      if (task?.state === 'COMPLETED') await completeBuild(context, build.guid, task);
      else if (!task && build.desired_at === null) await handOver(context, build);
      else if (age > (settings.staging.timeoutSeconds + URL_GRACE_SECONDS) * 1000) await giveUp(context, build);
    } catch (error) {
      again = !(await cannotBeStaged(context, build, error)) || again;
    }
  }
  const left = tasks.filter((task) => !wanted.has(task.taskGuid) && task.state !== 'COMPLETED');
  return !(await cancelTasks(bbs, left, log)) || again;
}

/** What cannot be staged at all fails; what Diego did not take is tried again, and this gives false. */
async function cannotBeStaged(context: Context, build: BuildRow, error: unknown): Promise<boolean> {
  let cause = error;
  if (error instanceof CfError) {
    const { detail } = error;
    try {
      await inTurn(context.db, (trx) => failBuild(trx, build, `StagingError: ${detail}`));
      return true;
    } catch (failure) {
      cause = failure;
    }
  }
  const fields = { build: build.guid, error: messageOf(cause) };
  context.log.warn('a build was not handed to Diego; it is tried again', fields);
  return false;
}

async function handOver(context: Context, build: BuildRow): Promise<void> {
  const task = build.lifecycle === 'docker' ? await imageTask(context, build) : await bitsTask(context, build);
  if (!task) return;
  await context.bbs.desireTask(task);
  await markDesired(context.db, build.guid);
}

async function giveUp(context: Context, build: BuildRow): Promise<void> {
  await context.bbs.cancelTask({ taskGuid: build.guid }).catch(() => {}); // Diego may have forgotten it, which is why
  await inTurn(context.db, (trx) => failBuild(trx, build, 'StagingTimeExpired: staging did not end in time'));
}

async function bitsTask(context: Context, build: BuildRow): Promise<Task | null> {
  const recipe = await recipeOf(context, build);
  return recipe && stagingTask(recipe);
}

/** Null where the app is gone. Throws CfError where its package is. */
async function imageTask(context: Context, build: BuildRow): Promise<Task | null> {
  const { db, sealer } = context;
  const app = await findApp(db, build.app_guid);
  if (!app) return null;
  const row = await findSealedPackage(db, build.package_guid);
  const image = row ? openImage(sealer, 'packages', row) : null;
  if (!image) throw new CfError('StagingError', 'the package is gone');
  return imageStagingTask({ ...(await placedOf(context, build, app)), image });
}

/** What staging an image and staging bits have in common. */
async function placedOf({ db, settings }: Context, build: BuildRow, app: App) {
  return {
    app: identityOf(app),
    buildGuid: build.guid,
    stack: build.stack,
    memoryMb: build.staging_memory_mb,
    diskMb: build.staging_disk_mb,
    timeoutSeconds: settings.staging.timeoutSeconds,
    placementTags: await placementTags(db, app.space_guid),
  };
}

/** Null where the app is gone. Throws CfError where the build cannot be staged any more. */
async function recipeOf(context: Context, build: BuildRow): Promise<StagingRecipe | null> {
  const { db, blobs, settings, sealer } = context;
  const app = await findAppWithVariables(db, build.app_guid);
  if (!app) return null;
  const ttl = settings.staging.timeoutSeconds + URL_GRACE_SECONDS;
  const packageBlob = await blobs.stat('packages', build.package_guid);
  if (!packageBlob) throw new CfError('StagingError', 'the package has no bits');
  const buildpacks = await chooseBuildpacks(db, build.buildpacks, build.stack);
  const key = cacheKey(app.guid, build.stack);
  const cache = await blobs.stat('buildpack-caches', key);
  const egress = egressRules(db, 'staging');
  const own = settings.staging.egress.map((rule) => ({ ...rule, type: 0, code: 0, log: false }));
  return {
    ...(await placedOf(context, build, app)),
    environment: stagingEnvironment({
      app: identityOf(app),
      apiUrl: settings.urls.api,
      uris: await urisOfApp(db, app.guid),
      group: { ...settings.staging.environment, ...(await readGroup(db, sealer, 'staging')).variables },
      variables: openVariables(sealer, app),
      services: {},
      memoryMb: build.staging_memory_mb,
      diskMb: build.staging_disk_mb,
      fileDescriptors: FILE_DESCRIPTORS,
      stack: build.stack,
    }),
    egressRules: [...(await egress(app.space_guid)), ...own],
    package: { url: blobs.signedUrl('GET', 'packages', build.package_guid, ttl), sha256: packageBlob.sha256 },
    buildpacks: buildpacks.map(({ name, key, blob }) => ({
      name,
      key,
      blob: blob && { url: blobs.signedUrl('GET', 'buildpacks', blob.key, ttl), sha256: blob.sha256 },
      skipDetect: build.buildpacks.length > 0,
    })),
    uploadDropletUrl: blobs.signedUrl('PUT', 'droplets', build.droplet_guid, ttl),
    cache: cache ? { url: blobs.signedUrl('GET', 'buildpack-caches', key, ttl), sha256: cache.sha256 } : null,
    uploadCacheUrl: blobs.signedUrl('PUT', 'buildpack-caches', key, ttl),
  };
}
