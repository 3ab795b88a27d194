import { sql } from 'kysely';
import type { BlobInfo, HeldRoom } from '../../contracts/blobs.ts';
import { recordAppEvent } from '../apps/events.ts';
import type { App } from '../apps/store.ts';
import type { OfApp } from '../apps/subject.ts';
import type { Caller } from '../authorization.ts';
import type { Context } from '../context.ts';
import { now, type Trx } from '../database.ts';
import { CfError, publicError, unprocessable } from '../errors.ts';
import { afterFailure, keepBlob, keepFile, metered, withRoom } from '../storage/keep.ts';
import { deleteBlob, forget, reserve, type TenantBlob } from '../storage/ledger.ts';
import { expireBitsOf } from '../storage/retention.ts';
import { openArchive, PACKAGE_LIMITS } from './archive.ts';
import { ArchiveRefusedError } from './archive-refusal.ts';
import { packageContent, readResources } from './assemble.ts';
import { isWorthMatching, matchFiles, rememberFiles } from './matched-files.ts';
import { type MultipartBody, type Upload, withUpload } from './multipart.ts';
import { finishUpload, type PackageRow } from './store.ts';

export const PACKAGE_MAX_BYTES = 1024 ** 3;

/** An upload as it comes. */
export interface IncomingUpload extends MultipartBody {
  /** Null where the client does not say. */
  contentLength: number | null;
  caller: Caller;
}

/**
 * Takes an upload for a package that waits for one and makes it READY, in this request: an answer means that the bits are
 * kept. Throws PackageBitsAlreadyUploaded, AppBitsUploadInvalid for hostile or broken archives (the package is FAILED then) and,
 * before the body is read where its length is known, UnprocessableEntity or ServiceUnavailable where there is no room for it (the
 * package waits on).
 */
export async function receivePackage(
  context: Context,
  { app, guid }: OfApp<PackageRow>,
  upload: IncomingUpload,
): Promise<PackageRow> {
  const target = { kind: 'packages', key: guid, organizationGuid: app.organization_guid } as const;
  const row = await receiveOnce(context, 'packages', target, upload, {
    read: async (body, room) => {
      const limits = { fileField: 'bits', maxBytes: PACKAGE_MAX_BYTES };
      const place = { blobs: context.blobs, room };
      const { caller } = upload;
      return withUpload(place, body, limits, (parts) => store(context, { app, target, caller, room }, parts));
    },
    finish: async (trx, { sha256 }) => {
      const ready = await finishUpload(trx, guid, sha256);
      if (!ready) throw unprocessable('The upload took too long, or its package was deleted meanwhile.');
      await recordAppEvent(trx, 'audit.app.package.upload', upload.caller.actor, app, { package_guid: guid });
      return ready;
    },
  });
  await expireBitsOf(context, app.guid);
  return row;
}

/** What an upload takes on the disk at most: for a moment it lies there as it came, and as it is kept. */
export function uploadRoom({ contentLength }: Pick<IncomingUpload, 'contentLength'>): number {
  return 2 * (contentLength ?? 0);
}

/** What an upload goes through once it is let in. */
interface Taking<Result> {
  /** Reads it, and keeps it as the blob it is for. */
  read: (body: MultipartBody, room: HeldRoom) => Promise<BlobInfo>;
  /** Says in the row that it is there. */
  finish: (trx: Trx, blob: BlobInfo) => Promise<Result>;
}

/** How long after a failure its traces are removed again where that failed too: the database may be away for a moment. */
const TIDY_AGAIN_MS = [1_000, 5_000, 30_000, 120_000];

/**
 * Lets one upload come in for a package or a droplet that waits for it, within the organization's share and in room on the
 * disk that is held for it. Throws PackageBitsAlreadyUploaded where it does not wait. What is thrown meanwhile is written down in
 * the row, which is FAILED then; where the client is told to try again it waits as before.
 */
export async function receiveOnce<Result>(
  context: Context,
  table: 'packages' | 'droplets',
  target: TenantBlob,
  upload: IncomingUpload,
  { read, finish }: Taking<Result>,
): Promise<Result> {
  const begun = await context.db
    .updateTable(table)
    .set({ state: 'PROCESSING_UPLOAD', updated_at: now })
    .where(ofBlob(target))
    .where('state', '=', 'AWAITING_UPLOAD')
    .returning('updated_at')
    .executeTakeFirst();
  if (!begun) {
    const what = table === 'packages' ? ['Bits', 'package', 'different'] : ['Droplet', 'droplet', 'its'];
    throw new CfError(
      'PackageBitsAlreadyUploaded',
      `${what[0]} may be uploaded only once. Create a new ${what[1]} to upload ${what[2]} bits.`,
    );
  }
  const announced = upload.contentLength ?? 0;
  const owners = { actor: upload.caller.actor.guid, organization: target.organizationGuid };
  let hasRoom = false;
  try {
    const blob = await withRoom(context, uploadRoom(upload), owners, async (room) => {
      await reserve(context, target, announced);
      hasRoom = true;
      const stream = upload.stream && metered(context, target, upload.stream, announced);
      return await read({ ...upload, stream }, room);
    });
    return await context.db.transaction().execute((trx) => finish(trx, blob));
  } catch (error) {
    const reason = hasRoom && !mayTryAgain(error) ? reasonOf(error) : null;
    let since: Date | null = null;
    const tidy = (): Promise<void> => {
      const giving = giveUp(context, table, target, { reason, since });
      // Where it is tried again another upload may have begun: its answer may have been lost alone.
      since = begun.updated_at;
      return giving;
    };
    await afterFailure(context, 'tidy up after the failed upload of', target, tidy, TIDY_AGAIN_MS);
    if (!(error instanceof ArchiveRefusedError)) throw error;
    throw new CfError('AppBitsUploadInvalid', `The app upload is invalid: ${error.message}`, {
      status: 422,
      cause: error,
    });
  }
}

const TRY_AGAIN = new Set([429, 503]);

function mayTryAgain(error: unknown): boolean {
  return !(error instanceof ArchiveRefusedError) && TRY_AGAIN.has(publicError(error).status);
}

/** The row that a blob belongs to. */
function ofBlob({ key }: TenantBlob) {
  return sql<boolean>`guid = ${key}`;
}

function reasonOf(error: unknown): string {
  return error instanceof ArchiveRefusedError || error instanceof CfError ? error.message : 'The upload failed.';
}

/** Leaves nothing of an upload; its row is FAILED for a reason, or waits again. `since`: only where nothing changed since then. */
async function giveUp(
  context: Context,
  table: 'packages' | 'droplets',
  target: TenantBlob,
  { reason, since }: { reason: string | null; since: Date | null },
): Promise<void> {
  await context.db.transaction().execute(async (trx) => {
    const row = await trx
      .selectFrom(table)
      .select(['state', 'updated_at'])
      .where(ofBlob(target))
      .forUpdate()
      .executeTakeFirst();
    // What finished it may have been committed all the same, though nobody here was told.
    if (row && row.state !== 'PROCESSING_UPLOAD' && row.state !== 'FAILED') return;
    if (row && since && row.updated_at.getTime() !== since.getTime()) return;
    await forget(trx, [target]);
    // Before the row may be uploaded to again, which is under the same key.
    await deleteBlob(context, target.kind, target.key);
    if (row?.state !== 'PROCESSING_UPLOAD') return;
    await trx
      .updateTable(table)
      .set({ state: reason === null ? 'AWAITING_UPLOAD' : 'FAILED', error: reason, updated_at: now })
      .where(ofBlob(target))
      .execute();
  });
}

/** Where a package goes, and who may take what for it. */
interface Place {
  app: App;
  target: TenantBlob;
  caller: Caller;
  room: HeldRoom;
}

async function store(
  context: Context,
  { app, target, caller, room }: Place,
  { fields, file }: Upload,
): Promise<BlobInfo> {
  const json = fields.get('resources');
  const resources = json === undefined || json === '' ? [] : await readResources(json);
  if (!file && resources.length === 0) throw unprocessable('Upload must include either resources or bits');
  const matched = await matchFiles(context.db, caller, resources);
  // What is not put together anew is read for the files that later pushes need not send.
  const isWhole = resources.length === 0;
  const keeps = isWhole ? isWorthMatching : undefined;
  const archive = file && (await openArchive(file, PACKAGE_LIMITS, { sender: caller.actor.guid, keeps }));
  try {
    if (archive) {
      const place = { spaceGuid: app.space_guid, organizationGuid: app.organization_guid };
      await rememberFiles(context, place, archive.entries);
    }
    if (file && isWhole) {
      archive?.close();
      return await keepFile(context, target, file, room);
    }
    const content = await packageContent({
      blobs: context.blobs,
      upload: archive && { archive },
      resources,
      matched,
      unpackedBytes: PACKAGE_LIMITS.unpackedBytes,
    });
    const size = { maxBytes: PACKAGE_MAX_BYTES, room };
    return await keepBlob(context, target, content.body, size);
  } finally {
    archive?.close();
  }
}
