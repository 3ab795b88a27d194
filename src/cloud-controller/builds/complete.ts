import { withShownAddresses } from '../../kit/secrets.ts';
import { recordAppEvent, SYSTEM_ACTOR } from '../apps/events.ts';
import { logLine } from '../apps/log-lines.ts';
import { type App, findApp } from '../apps/store.ts';
import type { Context } from '../context.ts';
import { inTurn, type Trx } from '../database.ts';
import { openImage, sealImage } from '../docker/images.ts';
import { type DropletBuildpack, insertDroplet, type SealedDroplet } from '../droplets/store.ts';
import type { Guid } from '../guid.ts';
import { jsonb } from '../metadata.ts';
import { findSealedPackage } from '../packages/store.ts';
import { expireBitsOf } from '../storage/retention.ts';
import { readImageResult, readStagingResult, stagingError } from './result.ts';
import { type BuildRow, endBuild, findBuild } from './store.ts';

const UNREADABLE = 'StagingError: the staging result could not be read';

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
export async function completeBuild(context: Context, buildGuid: Guid<'build'>, completion: Completion): Promise<void> {
  const { db } = context;
  const build = await findBuild(db, buildGuid);
  if (build?.state !== 'STAGING') return;
  const app = await findApp(db, build.app_guid);
  if (!app) return;
  const staged = completion.failed ? completion.failureReason : await readResult(context, build, completion.result);
  const reason = typeof staged === 'string' ? staged : null;
  const changed = await inTurn(db, async (trx) => {
    if (typeof staged === 'string') return failBuild(trx, build, staged);
    return stageBuild(trx, app, build, staged);
  });
  if (!changed) return;
  await expireBitsOf(context, app.guid);
  logLine(
    context,
    app,
    reason === null ? `Staged build ${build.guid}` : `Failed to stage build ${build.guid}: ${reason}`,
  );
}

/** Marks a build FAILED; false where it ended before. */
export async function failBuild(
  trx: Trx,
  build: Pick<BuildRow, 'guid' | 'app_guid' | 'package_guid'>,
  reason: string,
): Promise<boolean> {
  const { code, description } = stagingError(reason);
  const error = `${code} - ${description}`;
  if (!(await endBuild(trx, build.guid, { state: 'FAILED', error }))) return false;
  const app = await findApp(trx, build.app_guid);
  if (!app) return true;
  await recordAppEvent(trx, 'audit.app.build.failed', SYSTEM_ACTOR, app, {
    build_guid: build.guid,
    package_guid: build.package_guid,
    error_id: code,
    error_message: description,
  });
  return true;
}

/** What staging adds to the droplet's row. */
type Staged = Pick<SealedDroplet, 'process_types' | 'execution_metadata' | 'buildpacks' | 'sidecars' | 'stack'> &
  Partial<SealedDroplet>;

/** The droplet that a result describes, or the reason why there is none. */
async function readResult(context: Context, build: BuildRow, json: string): Promise<Staged | string> {
  return build.lifecycle === 'docker' ? imageDroplet(context, build, json) : bitsDroplet(context, build, json);
}

async function bitsDroplet({ blobs }: Context, build: BuildRow, json: string): Promise<Staged | string> {
  const result = readStagingResult(json);
  if (!result) return UNREADABLE;
  const stored = await blobs.stat('droplets', build.droplet_guid);
  if (stored?.sha256 !== result.droplet.sha256) return 'StagingError: the droplet did not arrive whole';
  const buildpacks: DropletBuildpack[] = result.buildpacks.map((item, index, all) => ({
    name: withShownAddresses(item.name || item.key),
    detect_output: index === all.length - 1 ? withShownAddresses(result.detectedBuildpack) || null : null,
    buildpack_name: withShownAddresses(item.ownName || item.name) || null,
    version: item.version || null,
  }));
  return {
    sha256: result.droplet.sha256,
    process_types: result.processTypes,
    execution_metadata: result.executionMetadata,
    buildpacks,
    sidecars: result.sidecars,
    stack: build.stack,
  };
}

/** The package may change or go: the droplet keeps what its registry asks for. */
async function imageDroplet({ db, sealer }: Context, build: BuildRow, json: string): Promise<Staged | string> {
  const result = readImageResult(json);
  if (!result) return UNREADABLE;
  const row = await findSealedPackage(db, build.package_guid);
  const image = row ? openImage(sealer, 'packages', row) : null;
  if (!image) return 'StagingError: the package is gone';
  const { username, password } = image;
  return {
    process_types: result.processTypes,
    execution_metadata: result.executionMetadata,
    buildpacks: [],
    sidecars: [],
    stack: null,
    ...sealImage(sealer, 'droplets', build.droplet_guid, { reference: result.image, username, password }),
  };
}

async function stageBuild(trx: Trx, app: App, build: BuildRow, staged: Staged): Promise<boolean> {
  if (!(await endBuild(trx, build.guid, { state: 'STAGED' }))) return false;
  await insertDroplet(trx, {
    guid: build.droplet_guid,
    app_guid: app.guid,
    package_guid: build.package_guid,
    state: 'STAGED',
    ...staged,
    process_types: jsonb(staged.process_types),
    buildpacks: jsonb(staged.buildpacks),
    sidecars: jsonb(staged.sidecars),
  });
  await recordAppEvent(trx, 'audit.app.droplet.create', SYSTEM_ACTOR, app, {
    droplet_guid: build.droplet_guid,
    package_guid: build.package_guid,
    build_guid: build.guid,
  });
  await recordAppEvent(trx, 'audit.app.build.staged', SYSTEM_ACTOR, app, {
    build_guid: build.guid,
    package_guid: build.package_guid,
    droplet_guid: build.droplet_guid,
  });
  return true;
}
