import type { Static } from 'typebox';
import { recordAppEvent } from '../apps/events.ts';
import type { App } from '../apps/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { checkPackageType, openImage, sealImage } from '../docker/images.ts';
import { unprocessable } from '../errors.ts';
import { newGuid } from '../guid.ts';
import { jsonb } from '../metadata.ts';
import { copyBlob } from '../storage/copy.ts';
import type { CreateDroplet } from './schema.ts';
import { type DropletRow, findSealedDroplet, insertDroplet } from './store.ts';

/** A droplet that staging made may be larger than what may be uploaded. */
const MAX_BYTES = 8 * 1024 ** 3;

/** Makes a droplet that waits for its bits, or a copy of `source`. Throws UnprocessableEntity, and as `copyBlob`. */
export async function createDroplet(
  context: Context,
  app: App,
  source: DropletRow | null,
  body: Static<typeof CreateDroplet>,
  actor: Actor,
): Promise<DropletRow> {
  const { db, sealer } = context;
  const guid = newGuid<'droplet'>();
  const notStaged = unprocessable('Source droplet is not staged.');
  const original = source && (await findSealedDroplet(db, source.guid));
  if (source && !original) throw notStaged;
  const image = original && openImage(sealer, 'droplets', original);
  checkPackageType(app.lifecycle, image ? 'docker' : 'bits');
  const insert = (sha256: string | null): Promise<DropletRow> =>
    db.transaction().execute(async (trx) => {
      const row = await insertDroplet(trx, {
        guid,
        app_guid: app.guid,
        package_guid: null,
        state: original ? 'STAGED' : 'AWAITING_UPLOAD',
        sha256,
        process_types: jsonb(original?.process_types ?? body.process_types ?? { web: '' }),
        execution_metadata: original?.execution_metadata ?? '',
        buildpacks: jsonb(original?.buildpacks ?? []),
        sidecars: jsonb(original?.sidecars ?? []),
        stack: image ? null : (original?.stack ?? app.stack),
        ...(image ? sealImage(sealer, 'droplets', guid, image) : {}),
      });
      await recordAppEvent(trx, 'audit.app.droplet.create', actor, app, { droplet_guid: guid });
      return row;
    });
  if (!original || image) return insert(null);
  if (original.state !== 'STAGED') throw notStaged;
  const target = { kind: 'droplets', key: guid, organizationGuid: app.organization_guid } as const;
  return copyBlob(context, original.guid, target, { maxBytes: MAX_BYTES, missing: notStaged }, insert);
}
