import { Readable } from 'node:stream';
import { stringify } from 'yaml';
import { createApp } from '../apps/changes.ts';
import { recordAppEvent } from '../apps/events.ts';
import { authorizeApp, findAppByName } from '../apps/store.ts';
import type { Lifecycle } from '../apps/tables.ts';
import type { Db } from '../database.ts';
import { requireDocker } from '../docker/images.ts';
import { CfError, notFound, unprocessable } from '../errors.ts';
import { type Call, created, operation } from '../operation.ts';
import { findSpace, placeOf, type Space } from '../spaces/store.ts';
import { type Plan, sealPlan } from './apply.ts';
import { diffManifest } from './diff.ts';
import { manifestOfApp, manifestsByName } from './existing.ts';
import { type ManifestApp, readManifest } from './manifest.ts';
import { readBoundedYaml, YAML_LIMITS, YamlRefusedError } from './yaml.ts';

export const manifestOperations = [
  operation({
    id: 'POST /v3/spaces/:guid/actions/apply_manifest',
    accepts: 'yaml',
    bodyLimitBytes: YAML_LIMITS.bytes,
    async run(call) {
      const { context } = call;
      const space = await authorizeSpace(call, call.params.guid);
      const { apps } = manifestOf(call);
      await checkImagesAllowed(context.db, apps);
      const job = await context.db.transaction().execute(async (trx) => {
        const plan: Plan = { isAdmin: call.isAdmin, apps: [] };
        for (const manifest of apps) {
          const existing = await findAppByName(trx, space.guid, manifest.name);
          const app =
            existing ??
            (await createApp(
              trx,
              context,
              call.actor,
              space.guid,
              { name: manifest.name, ...(manifest.docker ? { lifecycle: { type: 'docker' } } : {}) },
              { manifest_triggered: true },
            ));
          checkLifecycle(app.lifecycle, manifest);
          await recordAppEvent(trx, 'audit.app.apply_manifest', call.actor, app, {
            request: { applications: [manifest.name] },
          });
          plan.apps.push({ guid: app.guid, manifest });
        }
        const input = sealPlan(context.sealer, space.guid, plan);
        const resource = { type: 'space', guid: space.guid };
        return context.jobs.enqueue({ operation: 'space.apply_manifest', actor: call.actor, resource, input }, trx);
      });
      context.jobs.wake();
      return call.accepted(job);
    },
  }),
  operation({
    id: 'POST /v3/spaces/:guid/manifest_diff',
    accepts: 'yaml',
    bodyLimitBytes: YAML_LIMITS.bytes,
    async run(call) {
      const space = await authorizeSpace(call, call.params.guid);
      const { apps, raw } = manifestOf(call);
      await checkImagesAllowed(call.context.db, apps);
      const existing = await manifestsByName(
        call.context,
        space.guid,
        apps.map((app) => app.name),
      );
      return created({ diff: diffManifest(raw, (name) => existing.get(name) ?? null) });
    },
  }),
  operation({
    id: 'GET /v3/apps/:guid/manifest',
    async run(call) {
      const app = await authorizeApp(call, call.params.guid);
      const text = stringify({ applications: [await manifestOfApp(call.context, app)] });
      return { status: 200, body: Readable.from([text]), headers: { 'content-type': 'application/x-yaml' } };
    },
  }),
];

/** Throws UnprocessableEntity, as for every other problem of a manifest. */
async function checkImagesAllowed(db: Db, apps: readonly ManifestApp[]): Promise<void> {
  const first = apps.find(({ docker }) => docker);
  if (!first) return;
  await requireDocker(db, 'docker').catch((error: unknown) => {
    if (!(error instanceof CfError)) throw error;
    throw unprocessable(`For application '${first.name}': ${error.detail}`);
  });
}

function checkLifecycle(lifecycle: Lifecycle, { name, buildpacks, docker }: ManifestApp): void {
  if (lifecycle === 'docker' && buildpacks) {
    throw unprocessable(`For application '${name}': Buildpacks cannot be configured for a docker lifecycle app.`);
  }
  if (lifecycle === 'buildpack' && docker) {
    throw unprocessable(`For application '${name}': Docker cannot be configured for a buildpack lifecycle app.`);
  }
}

async function authorizeSpace(call: Pick<Call, 'authorize' | 'context'>, guid: string): Promise<Space> {
  const space = await findSpace(call.context.db, guid);
  if (!space) throw notFound('Space');
  await call.authorize(placeOf(space), notFound('Space'));
  return space;
}

/** The manifest of a request's body. Throws BadRequest, MessageParseError and UnprocessableEntity with every problem. */
function manifestOf(call: Pick<Call, 'body' | 'contentType'>): Pick<ReturnType<typeof readManifest>, 'apps' | 'raw'> {
  if (!/\byaml\b/i.test(call.contentType) || typeof call.body !== 'string') {
    throw new CfError('BadRequest', 'Content-Type must be yaml');
  }
  const { apps, raw, problems } = readManifest(parse(call.body));
  if (problems.length > 0) throw unprocessable(problems.slice(0, 50).join(', '));
  return { apps, raw };
}

function parse(text: string): unknown {
  try {
    return readBoundedYaml(text);
  } catch (cause) {
    if (!(cause instanceof YamlRefusedError)) throw cause;
    throw new CfError('MessageParseError', `Request invalid due to parse error: ${cause.message}`, { cause });
  }
}
