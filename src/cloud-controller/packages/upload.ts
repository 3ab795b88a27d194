import type { Readable } from 'node:stream';
import type { Context } from '../context.ts';
import { now } from '../database.ts';
import { CfError, unprocessable } from '../errors.ts';
import { ArchiveRefusedError, openArchive, PACKAGE_LIMITS } from './archive.ts';
import { readResources, storePackage } from './assemble.ts';
import { type Upload, withUpload } from './multipart.ts';
import type { Package } from './store.ts';

export const PACKAGE_MAX_BYTES = 1024 ** 3;

/**
 * Takes an upload for a package that waits for one and makes it READY, in this request: an answer means that the bits are
 * kept. Throws PackageBitsAlreadyUploaded, AppBitsUploadInvalid for hostile or broken archives (the package is FAILED then).
 */
export async function receivePackage(
  context: Context,
  found: Package,
  body: { stream: Readable | null; contentType: string },
): Promise<Package> {
  const { db } = context;
  const taken = await db
    .updateTable('packages')
    .set({ state: 'PROCESSING_UPLOAD', updated_at: now })
    .where('guid', '=', found.guid)
    .where('state', '=', 'AWAITING_UPLOAD')
    .returning('guid')
    .executeTakeFirst();
  if (!taken)
    throw new CfError(
      'PackageBitsAlreadyUploaded',
      'Bits may be uploaded only once. Create a new package to upload different bits.',
    );
  const finish = (changes: Partial<Pick<Package, 'state' | 'error' | 'sha256'>>) =>
    db
      .updateTable('packages')
      .set({ ...changes, updated_at: now })
      .where('guid', '=', found.guid)
      .returningAll()
      .executeTakeFirstOrThrow();
  try {
    const limits = { fileField: 'bits', maxBytes: PACKAGE_MAX_BYTES };
    const blob = await withUpload(body, limits, (upload) => store(context, found.guid, upload));
    return await finish({ state: 'READY', sha256: blob.sha256 });
  } catch (error) {
    const reason =
      error instanceof ArchiveRefusedError || error instanceof CfError ? error.message : 'The upload failed.';
    await finish({ state: 'FAILED', error: reason });
    if (!(error instanceof ArchiveRefusedError)) throw error;
    throw new CfError('AppBitsUploadInvalid', `The app upload is invalid: ${error.message}`, {
      status: 422,
      cause: error,
    });
  }
}

async function store(context: Context, guid: string, upload: Upload) {
  const json = upload.fields.get('resources');
  const resources = json === undefined || json === '' ? [] : readResources(json);
  if (!upload.file && resources.length === 0) throw unprocessable('Upload must include either resources or bits');
  const options = {
    blobs: context.blobs,
    key: guid,
    resources,
    maxBytes: PACKAGE_MAX_BYTES,
    unpackedBytes: PACKAGE_LIMITS.unpackedBytes,
  };
  if (!upload.file) return storePackage({ ...options, upload: null });
  const archive = await openArchive(upload.file.path, upload.file.bytes, PACKAGE_LIMITS);
  try {
    return await storePackage({ ...options, upload: { path: upload.file.path, archive } });
  } finally {
    archive.close();
  }
}
