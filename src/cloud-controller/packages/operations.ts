import { type Static, Type } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import { logLine } from '../apps/log-lines.ts';
import { ToOne } from '../apps/schema.ts';
import { authorizeApp } from '../apps/store.ts';
import { now } from '../database.ts';
import { checkPackageType, openImage, sealImage } from '../docker/images.ts';
import { notFound, unprocessable } from '../errors.ts';
import { listView } from '../list.ts';
import { MetadataInput, mergeMetadata, metadataColumns, newMetadata } from '../metadata.ts';
import { created, ok, operation } from '../operation.ts';
import { matchResources, RESOURCE_BYTES } from './assemble.ts';
import { authorizedPackage, listPackages, type Package, packageQuery, packageView } from './store.ts';
import { PACKAGE_MAX_BYTES, receivePackage } from './upload.ts';

const CreatePackage = Type.Object(
  {
    type: Type.Optional(Type.String()),
    relationships: Type.Object({ app: ToOne }, { additionalProperties: false }),
    data: Type.Optional(
      Type.Object({
        image: Type.Optional(Type.String({ maxLength: 1024 })),
        username: Type.Optional(Type.Union([Type.String({ maxLength: 255 }), Type.Null()])),
        password: Type.Optional(Type.Union([Type.String({ maxLength: 16_384 }), Type.Null()])),
      }),
    ),
    metadata: Type.Optional(MetadataInput),
  },
  { additionalProperties: false },
);

const invalidApp = () => unprocessable('App is invalid. Ensure it exists and you have access to it.');

export const packageOperations = [
  operation({
    id: 'GET /v3/packages',
    query: packageQuery,
    async run(call) {
      const { db, links } = call.context;
      const found = await listPackages(db, call.query, { visible: call.visibleSpaces() });
      return ok(listView(links, '/v3/packages', call.query, found, (row) => packageView(links, row)));
    },
  }),
  operation({
    id: 'GET /v3/apps/:guid/packages',
    query: packageQuery,
    async run(call) {
      const { db, links } = call.context;
      const app = await authorizeApp(call, call.params.guid);
      const found = await listPackages(db, call.query, { appGuid: app.guid });
      const path = `/v3/apps/${app.guid}/packages`;
      return ok(listView(links, path, call.query, found, (row) => packageView(links, row)));
    },
  }),
  operation({
    id: 'POST /v3/packages',
    query: { values: ['source_guid'] },
    body: CreatePackage,
    async run(call) {
      const { db, links, blobs } = call.context;
      const app = await authorizeApp(call, call.body.relationships.app.data.guid, invalidApp());
      const sourceGuid = call.query.values.get('source_guid');
      const source = sourceGuid === undefined ? null : await sourceOf(call, sourceGuid);
      const guid = crypto.randomUUID();
      const type = source ? (source.docker_image === null ? 'bits' : 'docker') : typeOf(call.body.type);
      checkPackageType(app.lifecycle, type);
      // A copy is the image alone: its registry's password is asked for anew.
      const image = source?.docker_image ? { reference: source.docker_image } : imageOf(type, call.body.data);
      if (source && !image) {
        const blob = await blobs.open('packages', source.guid);
        if (!blob) throw unprocessable('Source package has no bits.');
        await blobs.put('packages', guid, blob.body, PACKAGE_MAX_BYTES);
      }
      const row = await db.transaction().execute(async (trx) => {
        const inserted = await trx
          .insertInto('packages')
          .values({
            guid,
            app_guid: app.guid,
            state: source || image ? 'READY' : 'AWAITING_UPLOAD',
            sha256: source?.sha256 ?? null,
            ...(image ? sealImage(call.context.sealer, 'packages', guid, image) : {}),
            ...newMetadata(call.body.metadata),
          })
          .returningAll()
          .executeTakeFirstOrThrow();
        const data = { request: { ...call.body }, ...(source ? { source_package_guid: source.guid } : {}) };
        await recordAppEvent(trx, 'audit.app.package.create', call.actor, app, { ...data, package_guid: guid });
        return inserted;
      });
      logLine(call.context, app, `Creating package with guid ${guid} for app with guid ${app.guid}`);
      return created(packageView(links, row));
    },
  }),
  operation({
    id: 'GET /v3/packages/:guid',
    async run(call) {
      const { found } = await authorizedPackage(call, call.params.guid);
      return ok(packageView(call.context.links, found));
    },
  }),
  operation({
    id: 'PATCH /v3/packages/:guid',
    body: Type.Object(
      {
        metadata: Type.Optional(MetadataInput),
        username: Type.Optional(Type.String({ maxLength: 255 })),
        password: Type.Optional(Type.String({ maxLength: 16_384 })),
      },
      { additionalProperties: false },
    ),
    async run(call) {
      const { db, links, sealer } = call.context;
      const { found } = await authorizedPackage(call, call.params.guid);
      const { username, password, metadata } = call.body;
      const image = openImage(sealer, 'packages', found);
      if (!image && (username || password)) {
        throw unprocessable('Cannot update Docker credentials for a buildpack app.');
      }
      const changed = image && {
        reference: image.reference,
        username: username ?? image.username,
        password: password ?? image.password,
      };
      const row = await db
        .updateTable('packages')
        .set({
          ...(changed ? sealImage(sealer, 'packages', found.guid, changed) : {}),
          ...metadataColumns(mergeMetadata(found, metadata)),
          updated_at: now,
        })
        .where('guid', '=', found.guid)
        .returningAll()
        .executeTakeFirstOrThrow();
      return ok(packageView(links, row));
    },
  }),
  operation({
    id: 'DELETE /v3/packages/:guid',
    async run(call) {
      const { app, found } = await authorizedPackage(call, call.params.guid);
      await recordAppEvent(call.context.db, 'audit.app.package.delete', call.actor, app, { package_guid: found.guid });
      const job = await call.context.jobs.enqueue({
        operation: 'package.delete',
        actor: call.actor,
        resource: { type: 'package', guid: found.guid },
      });
      call.context.jobs.wake();
      return call.accepted(job);
    },
  }),
  operation({
    id: 'POST /v3/packages/:guid/upload',
    accepts: 'multipart',
    bodyLimitBytes: PACKAGE_MAX_BYTES + 64 * 1024 ** 2,
    async run(call) {
      const { db, links } = call.context;
      const { app, found } = await authorizedPackage(call, call.params.guid);
      if (found.docker_image !== null) throw unprocessable('Package type must be bits.');
      const row = await receivePackage(call.context, found, call);
      await recordAppEvent(db, 'audit.app.package.upload', call.actor, app, { package_guid: found.guid });
      logLine(call.context, app, `Uploaded bits of package with guid ${found.guid}`);
      return ok(packageView(links, row));
    },
  }),
  operation({
    id: 'GET /v3/packages/:guid/download',
    async run(call) {
      const { db, blobs } = call.context;
      const { app, found } = await authorizedPackage(call, call.params.guid);
      if (found.docker_image !== null) throw unprocessable('Package type must be bits.');
      if (found.state !== 'READY') throw unprocessable('Package has no bits to download.');
      const blob = await blobs.open('packages', found.guid);
      if (!blob) throw notFound('Package');
      await recordAppEvent(db, 'audit.app.package.download', call.actor, app, { package_guid: found.guid });
      return {
        status: 200,
        body: blob.body,
        headers: { 'content-type': 'application/zip', 'content-length': String(blob.bytes) },
      };
    },
  }),
  operation({
    id: 'POST /v3/resource_matches',
    bodyLimitBytes: 4 * 1024 ** 2,
    body: Type.Object(
      {
        resources: Type.Array(
          Type.Object({
            checksum: Type.Object({ value: Type.String() }),
            size_in_bytes: Type.Integer({ minimum: 0 }),
            path: Type.Optional(Type.String()),
            mode: Type.Optional(Type.String()),
          }),
          { minItems: 1, maxItems: 5000 },
        ),
      },
      { additionalProperties: false },
    ),
    async run(call) {
      const large = call.body.resources.filter((item) => item.size_in_bytes >= RESOURCE_BYTES.least);
      const wanted = large.map((item) => ({ sha1: item.checksum.value, bytes: item.size_in_bytes }));
      const known = await matchResources(call.context.blobs, wanted);
      return created({ resources: large.filter((item) => known.has(item.checksum.value)) });
    },
  }),
];

function typeOf(type: string | undefined): 'bits' | 'docker' {
  if (type === 'bits' || type === 'docker') return type;
  throw unprocessable("Type must be one of 'bits, docker'");
}

/** What a docker package is made of; null for bits. */
function imageOf(type: 'bits' | 'docker', data: Static<typeof CreatePackage>['data']) {
  if (type === 'bits') return null;
  const { image, username, password } = data ?? {};
  if (!image) throw unprocessable('Data Image required');
  return { reference: image, username, password };
}

async function sourceOf(call: Parameters<typeof authorizedPackage>[0], guid: string): Promise<Package> {
  const { found } = await authorizedPackage(call, guid, unprocessable('Invalid source package'));
  if (found.state !== 'READY') throw unprocessable('Source package is not ready.');
  return found;
}
