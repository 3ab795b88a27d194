import type { Static } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import type { App } from '../apps/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { checkPackageType, PACKAGE_TYPES, type PackageType, sealImage } from '../docker/images.ts';
import { unprocessable } from '../errors.ts';
import { newGuid } from '../guid.ts';
import { newMetadata } from '../metadata.ts';
import { copyBlob } from '../storage/copy.ts';
import type { CreatePackage } from './schema.ts';
import { insertPackage, type PackageRow, packageOf } from './store.ts';
import { PACKAGE_MAX_BYTES } from './upload.ts';

type NewPackage = Static<typeof CreatePackage>;

/** Makes a package of an image, one that waits for its bits, or a copy of `source`. Throws UnprocessableEntity, and as `copyBlob`. */
export async function createPackage(
  context: Context,
  app: App,
  source: PackageRow | null,
  body: NewPackage,
  actor: Actor,
): Promise<PackageRow> {
  if (source && source.state !== 'READY') throw unprocessable('Source package is not ready.');
  const guid = newGuid<'package'>();
  const image = source ? copiedImage(app, source) : newImage(app, body);
  const insert = (sha256: string | null): Promise<PackageRow> =>
    context.db.transaction().execute(async (trx) => {
      const row = await insertPackage(trx, {
        guid,
        app_guid: app.guid,
        state: source || image ? 'READY' : 'AWAITING_UPLOAD',
        sha256,
        ...(image ? sealImage(context.sealer, 'packages', guid, image) : {}),
        ...newMetadata(body.metadata),
      });
      const data = { request: { ...body }, ...(source ? { source_package_guid: source.guid } : {}) };
      await recordAppEvent(trx, 'audit.app.package.create', actor, app, { ...data, package_guid: guid });
      return row;
    });
  if (!source || image) return insert(null);
  const target = { kind: 'packages', key: guid, organizationGuid: app.organization_guid } as const;
  const missing = unprocessable('Source package has no bits.');
  return copyBlob(context, source.guid, target, { maxBytes: PACKAGE_MAX_BYTES, missing }, insert);
}

interface NewImage {
  reference: string;
  username?: string | null | undefined;
  password?: string | null | undefined;
}

/** A copy is the image alone: its registry's password is asked for anew. Null for bits. */
function copiedImage({ lifecycle }: App, source: PackageRow): NewImage | null {
  const made = packageOf(source);
  checkPackageType(lifecycle, made.type);
  return made.type === 'docker' ? { reference: made.image } : null;
}

/** What a docker package is made of; null for bits. */
function newImage({ lifecycle }: App, { type, data }: NewPackage): NewImage | null {
  const known = typeOf(type);
  checkPackageType(lifecycle, known);
  if (known === 'bits') return null;
  const { image, username, password } = data ?? {};
  if (!image) throw unprocessable('Data Image required');
  return { reference: image, username, password };
}

function typeOf(given: string | undefined): PackageType {
  const type = PACKAGE_TYPES.find((known) => known === given);
  if (!type) throw unprocessable("Type must be one of 'bits, docker'");
  return type;
}
