import { recordAppEvent } from '../apps/events.ts';
import type { OfApp } from '../apps/subject.ts';
import type { Context } from '../context.ts';
import { unprocessable } from '../errors.ts';
import { withUpload } from '../packages/multipart.ts';
import { type IncomingUpload, PACKAGE_MAX_BYTES, receiveOnce } from '../packages/upload.ts';
import { keepFile } from '../storage/keep.ts';
import { expireBitsOf } from '../storage/retention.ts';
import { type DropletRow, finishUpload } from './store.ts';

/**
 * Takes an upload for a droplet that waits for one and makes it STAGED; gives the job that clients follow, though all is done by
 * then. Throws as `receiveOnce`.
 */
export async function receiveDroplet(
  context: Context,
  { app, guid }: OfApp<DropletRow>,
  upload: IncomingUpload,
): Promise<{ row: DropletRow; job: string }> {
  const { blobs, jobs } = context;
  const { actor } = upload.caller;
  const target = { kind: 'droplets', key: guid, organizationGuid: app.organization_guid } as const;
  const limits = { fileField: 'bits', maxBytes: PACKAGE_MAX_BYTES };
  const received = await receiveOnce(context, 'droplets', target, upload, {
    read: (body, room) =>
      withUpload({ blobs, room }, body, limits, async ({ file }) => {
        if (!file) throw unprocessable('A droplet tgz file must be uploaded as "bits"');
        return keepFile(context, target, file, room);
      }),
    finish: async (trx, { sha256 }) => {
      const row = await finishUpload(trx, guid, sha256);
      if (!row) throw unprocessable('The upload took too long, or its droplet was deleted meanwhile.');
      await recordAppEvent(trx, 'audit.app.droplet.upload', actor, app, { droplet_guid: guid });
      const resource = { type: 'droplet', guid };
      return { row, job: await jobs.enqueue({ operation: 'droplet.upload', actor, resource }, trx) };
    },
  });
  await expireBitsOf(context, app.guid);
  return received;
}
