import { Type } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import { logLine } from '../apps/log-lines.ts';
import { Lifecycle } from '../apps/schema.ts';
import { authorizeApp } from '../apps/store.ts';
import { chooseBuildpacks, readLifecycle } from '../buildpacks/store.ts';
import { now } from '../database.ts';
import { checkPackageType, requireDocker } from '../docker/images.ts';
import { isUniqueViolation, unprocessable } from '../errors.ts';
import { listView } from '../list.ts';
import { MetadataInput, mergeMetadata, metadataColumns, newMetadata } from '../metadata.ts';
import { created, ok, operation } from '../operation.ts';
import { authorizedPackage } from '../packages/store.ts';
import { authorizedBuild, buildQuery, buildView, listBuilds } from './store.ts';

const Megabytes = Type.Union([Type.Integer({ minimum: 1, maximum: 1_048_576 }), Type.Null()]);

const CreateBuild = Type.Object(
  {
    package: Type.Object({ guid: Type.String() }, { additionalProperties: false }),
    lifecycle: Type.Optional(Lifecycle),
    staging_memory_in_mb: Type.Optional(Megabytes),
    staging_disk_in_mb: Type.Optional(Megabytes),
    staging_log_rate_limit_bytes_per_second: Type.Optional(Type.Union([Type.Integer({ minimum: -1 }), Type.Null()])),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

export const buildOperations = [
  operation({
    id: 'GET /v3/builds',
    query: buildQuery,
    async run(call) {
      const { db, links } = call.context;
      const found = await listBuilds(db, call.query, { visible: call.visibleSpaces() });
      return ok(listView(links, '/v3/builds', call.query, found, (row) => buildView(links, row)));
    },
  }),
  operation({
    id: 'GET /v3/apps/:guid/builds',
    query: buildQuery,
    async run(call) {
      const { db, links } = call.context;
      const app = await authorizeApp(call, call.params.guid);
      const found = await listBuilds(db, call.query, { appGuid: app.guid });
      return ok(listView(links, `/v3/apps/${app.guid}/builds`, call.query, found, (row) => buildView(links, row)));
    },
  }),
  operation({
    id: 'POST /v3/builds',
    body: CreateBuild,
    async run(call) {
      const { db, links, settings } = call.context;
      const { body } = call;
      const invalid = unprocessable('Unable to use package. Ensure that the package exists and you have access to it.');
      const { app, found } = await authorizedPackage(call, body.package.guid, invalid);
      if (found.state !== 'READY') throw unprocessable('Cannot stage package whose state is not ready.');
      await requireDocker(db, app.lifecycle);
      checkPackageType(app.lifecycle, found.docker_image === null ? 'bits' : 'docker');
      const lifecycle = await readLifecycle(db, body.lifecycle, app);
      if (lifecycle.lifecycle === 'buildpack') await chooseBuildpacks(db, lifecycle.buildpacks, lifecycle.stack);
      const build = await db.transaction().execute(async (trx) => {
        const row = await trx
          .insertInto('builds')
          .values({
            guid: crypto.randomUUID(),
            app_guid: app.guid,
            package_guid: found.guid,
            state: 'STAGING',
            droplet_guid: crypto.randomUUID(),
            ...lifecycle,
            staging_memory_mb: body.staging_memory_in_mb ?? settings.staging.memoryMb,
            staging_disk_mb: body.staging_disk_in_mb ?? settings.staging.diskMb,
            created_by_guid: call.actor.guid,
            created_by_name: call.actor.name,
            ...newMetadata(body.metadata),
          })
          .returningAll()
          .executeTakeFirstOrThrow()
          .catch((error: unknown) => {
            if (!isUniqueViolation(error, 'builds_one_staging')) throw error;
            throw unprocessable('Only one build can be STAGING at a time per application.');
          });
        const data = { build_guid: row.guid, package_guid: found.guid };
        await recordAppEvent(trx, 'audit.app.build.create', call.actor, app, data);
        return row;
      });
      call.context.wakeDiego();
      logLine(call.context, app, `Creating build for app with guid ${app.guid}`);
      return created(buildView(links, build));
    },
  }),
  operation({
    id: 'GET /v3/builds/:guid',
    async run(call) {
      const { build } = await authorizedBuild(call, call.params.guid);
      return ok(buildView(call.context.links, build));
    },
  }),
  operation({
    id: 'PATCH /v3/builds/:guid',
    body: Type.Object({ metadata: Type.Optional(MetadataInput) }, { additionalProperties: false }),
    async run(call) {
      const { db, links } = call.context;
      const { build } = await authorizedBuild(call, call.params.guid);
      const row = await db
        .updateTable('builds')
        .set({ ...metadataColumns(mergeMetadata(build, call.body.metadata)), updated_at: now })
        .where('guid', '=', build.guid)
        .returningAll()
        .executeTakeFirstOrThrow();
      return ok(buildView(links, row));
    },
  }),
];
