import type { Sealer } from '../../kit/crypto.ts';
import { createApp } from '../app-actions/create.ts';
import { recordAppEvent } from '../apps/events.ts';
import { finishDeletion } from '../apps/jobs.ts';
import { findAppsByName } from '../apps/store.ts';
import type { Context } from '../context.ts';
import type { Trx } from '../database.ts';
import { unprocessable } from '../errors.ts';
import { type Guid, guid } from '../guid.ts';
import { type Job, pendingResources } from '../jobs/store.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { ManifestApp } from './app.ts';
import type { By } from './routes.ts';

/** What the job needs: which app gets what. Sealed, since manifests carry environment variables. */
interface Plan {
  isAdmin: boolean;
  apps: { guid: Guid<'app'>; manifest: ManifestApp }[];
}

const contextOf = (spaceGuid: Guid<'space'>): string => `jobs.apply_manifest:${spaceGuid}`;

/** The plan as the job's input. */
function sealPlan(sealer: Sealer, spaceGuid: Guid<'space'>, plan: Plan): Record<string, string> {
  const { keyLabel, data } = sealer.seal(JSON.stringify(plan), contextOf(spaceGuid));
  return { key_label: keyLabel, plan: data.toString('base64') };
}

/** What the job was given: sealed under our key, so that nobody else has written it. */
export function openPlan(sealer: Sealer, job: Job): Plan {
  const sealed = { keyLabel: String(job.input['key_label']), data: Buffer.from(String(job.input['plan']), 'base64') };
  return JSON.parse(sealer.open(sealed, contextOf(guid<'space'>(job.resourceGuid ?? '')))) as Plan;
}

/**
 * Makes the apps of a manifest that are not there, and leaves the rest to a job; gives the job's guid. Throws
 * UnprocessableEntity, and as `createApp`.
 */
export async function enqueueManifest(
  context: Context,
  spaceGuid: Guid<'space'>,
  manifests: readonly ManifestApp[],
  by: By,
): Promise<string> {
  const names = manifests.map(({ name }) => name);
  const former = [...(await findAppsByName(context.db, spaceGuid, names)).values()].map(({ guid }) => guid);
  // Who deletes an app and pushes it again means the new one.
  for (const gone of await pendingResources(context.db, 'app.delete', former)) {
    await finishDeletion(context, guid<'app'>(gone));
  }
  return context.db.transaction().execute(async (trx) => {
    const apps = await plannedApps(trx, context, spaceGuid, manifests, by);
    const input = sealPlan(context.sealer, spaceGuid, { isAdmin: by.isAdmin, apps });
    const resource = { type: 'space', guid: spaceGuid };
    return context.jobs.enqueue({ operation: 'space.apply_manifest', actor: by.actor, resource, input }, trx);
  });
}

async function plannedApps(
  trx: Trx,
  context: Context,
  spaceGuid: Guid<'space'>,
  manifests: readonly ManifestApp[],
  { actor }: By,
): Promise<Plan['apps']> {
  const planned: Plan['apps'] = [];
  const names = manifests.map(({ name }) => name);
  const known = new Map(await findAppsByName(trx, spaceGuid, names));
  for (const manifest of manifests) {
    const { name, docker } = manifest;
    const body = { name, ...(docker ? { lifecycle: { type: 'docker' } } : {}) };
    const app =
      known.get(name.toLowerCase()) ??
      (await createApp(trx, context, actor, spaceGuid, body, { manifest_triggered: true }));
    known.set(app.name.toLowerCase(), app);
    checkLifecycle(app.lifecycle, manifest);
    await recordAppEvent(trx, 'audit.app.apply_manifest', actor, app, { request: { applications: [name] } });
    planned.push({ guid: app.guid, manifest });
  }
  return planned;
}

function checkLifecycle(lifecycle: Lifecycle, { name, buildpacks, docker }: ManifestApp): void {
  if (lifecycle === 'docker' && buildpacks) {
    throw unprocessable(`For application '${name}': Buildpacks cannot be configured for a docker lifecycle app.`);
  }
  if (lifecycle === 'buildpack' && docker) {
    throw unprocessable(`For application '${name}': Docker cannot be configured for a buildpack lifecycle app.`);
  }
}
