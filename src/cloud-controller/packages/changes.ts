import type { Static } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import type { OfApp } from '../apps/subject.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { lockRow } from '../database.ts';
import { openImage, sealImage } from '../docker/images.ts';
import { notFound, unprocessable } from '../errors.ts';
import { changedMetadata } from '../metadata.ts';
import type { UpdatePackage } from './schema.ts';
import { type PackageRow, updatePackage } from './store.ts';

/** Changes metadata, and what the registry of an image asks for. Throws UnprocessableEntity, and ResourceNotFound where it went away. */
export async function changePackage(
  { db, sealer }: Context,
  { guid, app }: OfApp<PackageRow>,
  body: Static<typeof UpdatePackage>,
  actor: Actor,
): Promise<PackageRow> {
  const { username, password, metadata } = body;
  return db.transaction().execute(async (trx) => {
    const before = await lockRow(trx, 'packages', guid, notFound('Package'));
    const image = openImage(sealer, 'packages', before);
    if (!image && (username || password)) {
      throw unprocessable('Cannot update Docker credentials for a buildpack app.');
    }
    const credentials = image && {
      reference: image.reference,
      username: username ?? image.username,
      password: password ?? image.password,
    };
    const row = await updatePackage(trx, guid, {
      ...(credentials ? sealImage(sealer, 'packages', guid, credentials) : {}),
      ...changedMetadata(before, metadata),
    });
    if (username !== undefined || password !== undefined) {
      await recordAppEvent(trx, 'audit.app.package.update', actor, app, { package_guid: guid, request: { ...body } });
    }
    return row;
  });
}
