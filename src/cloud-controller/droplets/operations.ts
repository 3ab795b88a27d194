import { createReadStream } from 'node:fs';
import { Type } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import { assignDroplet } from '../apps/lifecycle.ts';
import { logLine } from '../apps/log-lines.ts';
import { NullableToOne, ToOne } from '../apps/schema.ts';
import { authorizeApp } from '../apps/store.ts';
import { now } from '../database.ts';
import { checkPackageType, openImage, sealImage } from '../docker/images.ts';
import { CfError, notFound, unprocessable } from '../errors.ts';
import { listView } from '../list.ts';
import { jsonb, MetadataInput, mergeMetadata, metadataColumns } from '../metadata.ts';
import { created, ok, operation } from '../operation.ts';
import { withUpload } from '../packages/multipart.ts';
import { authorizedPackage } from '../packages/store.ts';
import { PACKAGE_MAX_BYTES } from '../packages/upload.ts';
import { authorizedDroplet, dropletQuery, dropletView, findDroplet, listDroplets } from './store.ts';

const invalidApp = () => unprocessable('App is invalid. Ensure it exists and you have access to it.');

export const dropletOperations = [
  operation({
    id: 'GET /v3/droplets',
    query: dropletQuery,
    async run(call) {
      const { db, links } = call.context;
      const found = await listDroplets(db, call.query, { visible: call.visibleSpaces() });
      return ok(listView(links, '/v3/droplets', call.query, found, (row) => dropletView(links, row, true)));
    },
  }),
  operation({
    id: 'GET /v3/apps/:guid/droplets',
    query: dropletQuery,
    async run(call) {
      const { db, links } = call.context;
      const app = await authorizeApp(call, call.params.guid);
      const found = await listDroplets(db, call.query, { appGuid: app.guid });
      const path = `/v3/apps/${app.guid}/droplets`;
      return ok(listView(links, path, call.query, found, (row) => dropletView(links, row, true)));
    },
  }),
  operation({
    id: 'GET /v3/packages/:guid/droplets',
    query: dropletQuery,
    async run(call) {
      const { db, links } = call.context;
      const { found } = await authorizedPackage(call, call.params.guid);
      const droplets = await listDroplets(db, call.query, { packageGuid: found.guid });
      const path = `/v3/packages/${found.guid}/droplets`;
      return ok(listView(links, path, call.query, droplets, (row) => dropletView(links, row, true)));
    },
  }),
  operation({
    id: 'GET /v3/droplets/:guid',
    async run(call) {
      const { droplet } = await authorizedDroplet(call, call.params.guid);
      return ok(dropletView(call.context.links, droplet));
    },
  }),
  operation({
    id: 'GET /v3/apps/:guid/droplets/current',
    async run(call) {
      const app = await authorizeApp(call, call.params.guid);
      const droplet = app.droplet_guid === null ? null : await findDroplet(call.context.db, app.droplet_guid);
      if (!droplet) throw notFound('Droplet');
      return ok(dropletView(call.context.links, droplet));
    },
  }),
  operation({
    id: 'GET /v3/apps/:guid/relationships/current_droplet',
    async run(call) {
      const { links } = call.context;
      const app = await authorizeApp(call, call.params.guid);
      if (app.droplet_guid === null) throw notFound('Droplet');
      return ok(currentDroplet(links.to.bind(links), app.guid, app.droplet_guid));
    },
  }),
  operation({
    id: 'PATCH /v3/apps/:guid/relationships/current_droplet',
    body: NullableToOne,
    async run(call) {
      const { db, links } = call.context;
      const { guid } = await authorizeApp(call, call.params.guid);
      const dropletGuid = call.body.data?.guid ?? null;
      const app = await db
        .transaction()
        .execute((trx) => assignDroplet(trx, call.context, call.actor, guid, dropletGuid));
      logLine(call.context, app, `Updated app with guid ${guid} (droplet_guid: ${dropletGuid})`);
      return ok(currentDroplet(links.to.bind(links), guid, dropletGuid));
    },
  }),
  operation({
    id: 'POST /v3/droplets',
    query: { values: ['source_guid'] },
    body: Type.Object(
      {
        relationships: Type.Object({ app: ToOne }, { additionalProperties: false }),
        process_types: Type.Optional(Type.Record(Type.String({ minLength: 1 }), Type.String({ minLength: 1 }))),
      },
      { additionalProperties: false },
    ),
    async run(call) {
      const { db, links, blobs } = call.context;
      const app = await authorizeApp(call, call.body.relationships.app.data.guid, invalidApp());
      const sourceGuid = call.query.values.get('source_guid');
      const source = sourceGuid === undefined ? null : (await authorizedDroplet(call, sourceGuid)).droplet;
      const guid = crypto.randomUUID();
      const image = source ? openImage(call.context.sealer, 'droplets', source) : null;
      checkPackageType(app.lifecycle, image ? 'docker' : 'bits');
      if (source && !image) {
        const blob = source.state === 'STAGED' ? await blobs.open('droplets', source.guid) : null;
        if (!blob) throw unprocessable('Source droplet is not staged.');
        await blobs.put('droplets', guid, blob.body, PACKAGE_MAX_BYTES);
      }
      const row = await db.transaction().execute(async (trx) => {
        const inserted = await trx
          .insertInto('droplets')
          .values({
            guid,
            app_guid: app.guid,
            package_guid: null,
            state: source ? 'STAGED' : 'AWAITING_UPLOAD',
            sha256: source?.sha256 ?? null,
            process_types: jsonb(source?.process_types ?? call.body.process_types ?? { web: '' }),
            execution_metadata: source?.execution_metadata ?? '',
            buildpacks: jsonb(source?.buildpacks ?? []),
            sidecars: jsonb(source?.sidecars ?? []),
            stack: image ? null : (source?.stack ?? app.stack),
            ...(image ? sealImage(call.context.sealer, 'droplets', guid, image) : {}),
          })
          .returningAll()
          .executeTakeFirstOrThrow();
        await recordAppEvent(trx, 'audit.app.droplet.create', call.actor, app, { droplet_guid: guid });
        return inserted;
      });
      return created(dropletView(links, row));
    },
  }),
  operation({
    id: 'POST /v3/droplets/:guid/upload',
    accepts: 'multipart',
    bodyLimitBytes: PACKAGE_MAX_BYTES + 1024 ** 2,
    async run(call) {
      const { db, links, blobs } = call.context;
      const { app, droplet } = await authorizedDroplet(call, call.params.guid);
      if (droplet.state !== 'AWAITING_UPLOAD') {
        throw new CfError(
          'PackageBitsAlreadyUploaded',
          'Droplet may be uploaded only once. Create a new droplet to upload bits.',
        );
      }
      const blob = await withUpload(call, { fileField: 'bits', maxBytes: PACKAGE_MAX_BYTES }, async ({ file }) => {
        if (!file) throw unprocessable('A droplet tgz file must be uploaded as "bits"');
        return blobs.put('droplets', droplet.guid, createReadStream(file.path), PACKAGE_MAX_BYTES);
      });
      const row = await db
        .updateTable('droplets')
        .set({ state: 'STAGED', sha256: blob.sha256, updated_at: now })
        .where('guid', '=', droplet.guid)
        .where('state', '=', 'AWAITING_UPLOAD')
        .returningAll()
        .executeTakeFirst();
      if (!row) throw unprocessable('The droplet was uploaded meanwhile.');
      await recordAppEvent(db, 'audit.app.droplet.upload', call.actor, app, { droplet_guid: droplet.guid });
      const job = await call.context.jobs.enqueue({
        operation: 'droplet.upload',
        actor: call.actor,
        resource: { type: 'droplet', guid: droplet.guid },
      });
      call.context.jobs.wake();
      return { ...call.accepted(job), body: dropletView(links, row) };
    },
  }),
  operation({
    id: 'GET /v3/droplets/:guid/download',
    async run(call) {
      const { app, droplet } = await authorizedDroplet(call, call.params.guid);
      if (droplet.docker_image !== null) throw unprocessable("Cannot download droplets with 'docker' lifecycle.");
      const blob = droplet.state === 'STAGED' ? await call.context.blobs.open('droplets', droplet.guid) : null;
      if (!blob) throw notFound('Droplet');
      await recordAppEvent(call.context.db, 'audit.app.droplet.download', call.actor, app, {
        droplet_guid: droplet.guid,
      });
      return {
        status: 200,
        body: blob.body,
        headers: { 'content-type': 'application/gzip', 'content-length': String(blob.bytes) },
      };
    },
  }),
  operation({
    id: 'PATCH /v3/droplets/:guid',
    body: Type.Object({ metadata: Type.Optional(MetadataInput) }, { additionalProperties: false }),
    async run(call) {
      const { db, links } = call.context;
      const { droplet } = await authorizedDroplet(call, call.params.guid);
      const row = await db
        .updateTable('droplets')
        .set({ ...metadataColumns(mergeMetadata(droplet, call.body.metadata)), updated_at: now })
        .where('guid', '=', droplet.guid)
        .returningAll()
        .executeTakeFirstOrThrow();
      return ok(dropletView(links, row));
    },
  }),
  operation({
    id: 'DELETE /v3/droplets/:guid',
    async run(call) {
      const { app, droplet } = await authorizedDroplet(call, call.params.guid);
      if (await isInUse(call.context.db, droplet.guid)) {
        throw unprocessable('The droplet is the current droplet of its app and cannot be deleted.');
      }
      await recordAppEvent(call.context.db, 'audit.app.droplet.delete', call.actor, app, {
        droplet_guid: droplet.guid,
      });
      const job = await call.context.jobs.enqueue({
        operation: 'droplet.delete',
        actor: call.actor,
        resource: { type: 'droplet', guid: droplet.guid },
      });
      call.context.jobs.wake();
      return call.accepted(job);
    },
  }),
];

function currentDroplet(to: (path: string) => { href: string }, appGuid: string, dropletGuid: string | null) {
  return {
    data: dropletGuid === null ? null : { guid: dropletGuid },
    links: {
      self: to(`/v3/apps/${appGuid}/relationships/current_droplet`),
      related: to(`/v3/apps/${appGuid}/droplets/current`),
    },
  };
}

/** Whether an app starts from it or instances of it run. */
async function isInUse(db: Parameters<typeof findDroplet>[0], guid: string): Promise<boolean> {
  const app = await db.selectFrom('apps').select('guid').where('droplet_guid', '=', guid).executeTakeFirst();
  const process = await db
    .selectFrom('processes')
    .select('guid')
    .where('droplet_guid', '=', guid)
    .where('state', '=', 'STARTED')
    .executeTakeFirst();
  return app !== undefined || process !== undefined;
}
