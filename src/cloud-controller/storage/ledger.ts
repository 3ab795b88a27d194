import { type Generated, sql } from 'kysely';
import type { BlobKind } from '../../contracts/blobs.ts';
import { CupolaError } from '../../kit/errors.ts';
import type { AfterCommit, Context } from '../context.ts';
import { type Db, now, type Trx } from '../database.ts';
import { CfError, unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';

declare module '../database.ts' {
  interface Database {
    stored_blobs: StoredBlobTable;
    matched_files: MatchedFileTable;
  }
}

/** A blob that is kept for an organization, or is on its way. The row is there before the first byte. */
export interface StoredBlobTable {
  kind: BlobKind;
  key: string;
  organization_guid: Guid<'organization'>;
  /** What it takes or, while it comes in, may take. */
  bytes: number;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
}

/** A file of a package that its space need not send again. Its blob lies in `resources` under its guid. */
export interface MatchedFileTable {
  guid: string;
  space_guid: Guid<'space'>;
  /** The name clients have for it; two files may share it. */
  sha1: string;
  sha256: string;
  bytes: number;
  last_used_at: Generated<Date>;
}

/** A blob by what it is and whose share it takes. */
export interface TenantBlob {
  kind: BlobKind;
  key: string;
  organizationGuid: Guid<'organization'>;
}

export type Storage = Pick<Context, 'db' | 'blobs' | 'log' | 'settings'>;

/** Of an organization's share, what matched files may take: they save time and nothing else. */
const SHARE_OF_MATCHED_FILES = 0.25;
/** A push that was told of a match uploads within this time. */
const PUSH = sql`interval '1 hour'`;

/**
 * Takes room for a blob before it is written, or more room for one that is being written. Two at once never take more than
 * there is (SECURITY 30). Matched files give way, the longest unused first. Throws UnprocessableEntity where the
 * organization's share is used up. What the disk has is another question: `withRoom`.
 */
export async function reserve(storage: Storage, blob: TenantBlob, bytes: number): Promise<void> {
  const evicted = await storage.db.transaction().execute(async (trx) => {
    await lockStorage(trx, blob.organizationGuid);
    const evicted: string[] = [];
    for (const { limit, kind } of limitsFor(storage, blob)) {
      const over = (await usedBeside(trx, blob, kind)) + bytes - limit;
      if (over <= 0) continue;
      const files = await evictMatchedFiles(trx, blob.organizationGuid, over);
      if (files.reduce((sum, file) => sum + file.bytes, 0) < over) throw await shareUsedUp(trx, blob, limit);
      evicted.push(...files.map(({ guid }) => guid));
    }
    await trx
      .insertInto('stored_blobs')
      .values({ kind: blob.kind, key: blob.key, organization_guid: blob.organizationGuid, bytes })
      .onConflict((conflict) =>
        conflict.columns(['kind', 'key']).doUpdateSet({
          bytes: sql<number>`greatest(stored_blobs.bytes, excluded.bytes)`,
          updated_at: now,
        }),
      )
      .execute();
    return evicted;
  });
  for (const guid of evicted) await deleteBlob(storage, 'resources', guid);
}

/** Sets what a blob takes now that it is written. False where it was given up meanwhile. */
export async function settle(db: Db, blob: Pick<TenantBlob, 'kind' | 'key'>, bytes: number): Promise<boolean> {
  const row = await db
    .updateTable('stored_blobs')
    .set({ bytes, updated_at: now })
    .where('kind', '=', blob.kind)
    .where('key', '=', blob.key)
    .returning('key')
    .executeTakeFirst();
  return row !== undefined;
}

/** Gives back what was taken for a blob that did not come; what lay there before stays. */
export async function giveBack(storage: Storage, blob: TenantBlob): Promise<void> {
  const left = await storage.blobs.stat(blob.kind, blob.key);
  if (left) await settle(storage.db, blob, left.bytes);
  else await storage.db.transaction().execute((trx) => forget(trx, [blob]));
}

/** Takes blobs out of the account, in the transaction that deletes whatever they were kept for, if there was anything; delete them after its commit. */
export async function forget(trx: Trx, blobs: readonly Pick<TenantBlob, 'kind' | 'key'>[]): Promise<void> {
  if (blobs.length === 0) return;
  await sql`DELETE FROM stored_blobs
    USING unnest(${blobs.map(({ kind }) => kind)}::text[], ${blobs.map(({ key }) => key)}::text[]) AS gone (kind, key)
    WHERE stored_blobs.kind = gone.kind AND stored_blobs.key = gone.key`.execute(trx);
}

/** The same; gives what deletes them once that is committed. */
export async function release(
  storage: Storage,
  trx: Trx,
  blobs: readonly Pick<TenantBlob, 'kind' | 'key'>[],
): Promise<AfterCommit> {
  await forget(trx, blobs);
  return async () => {
    for (const { kind, key } of blobs) await deleteBlob(storage, kind, key);
  };
}

/** Gives up a blob that came for nothing. */
export async function discardBlob(storage: Storage, { kind, key }: Pick<TenantBlob, 'kind' | 'key'>): Promise<void> {
  await storage.db.transaction().execute((trx) => forget(trx, [{ kind, key }]));
  await deleteBlob(storage, kind, key);
}

/** A blob that stays behind costs space until the next sweep and nothing else, so it never fails the caller. */
export async function deleteBlob(storage: Pick<Storage, 'blobs' | 'log'>, kind: BlobKind, key: string): Promise<void> {
  await storage.blobs.delete(kind, key).catch((error: unknown) => {
    storage.log.warn('a blob was not deleted', { kind, blob: key, error });
  });
}

/** What an organization's packages, droplets, caches and matched files take. */
export async function storedBytes(db: Db, organizationGuid: Guid<'organization'>): Promise<number> {
  return usedBeside(db, { organizationGuid, kind: 'packages', key: '' }, null);
}

/** The refusals of the blobstore in the API's words; everything else as it is. */
export function storageError(error: unknown): unknown {
  if (!(error instanceof CupolaError)) return error;
  if (error.code === 'blob_disk_full') {
    const detail = 'The platform has no room for more at present. Ask its operator to make some, and try again.';
    return new CfError('ServiceUnavailable', detail, { cause: error });
  }
  if (error.code === 'blob_too_large') {
    return new CfError('InvalidRequest', 'The upload is too large', { status: 413, cause: error });
  }
  return error;
}

async function lockStorage(trx: Trx, organizationGuid: Guid<'organization'>): Promise<void> {
  await sql`SELECT pg_advisory_xact_lock(hashtext('storage'), hashtext(${organizationGuid}))`.execute(trx);
}

function limitsFor({ settings }: Storage, blob: TenantBlob): { limit: number; kind: BlobKind | null }[] {
  const limit = settings.storage.perOrganizationBytes;
  if (blob.kind !== 'resources') return [{ limit, kind: null }];
  return [
    { limit: Math.floor(limit * SHARE_OF_MATCHED_FILES), kind: 'resources' },
    { limit, kind: null },
  ];
}

async function usedBeside(db: Db, blob: TenantBlob, kind: BlobKind | null): Promise<number> {
  let select = db
    .selectFrom('stored_blobs')
    .select(sql<number>`coalesce(sum(bytes), 0)::bigint`.as('used'))
    .where('organization_guid', '=', blob.organizationGuid)
    .where((eb) => eb.or([eb('kind', '!=', blob.kind), eb('key', '!=', blob.key)]));
  if (kind) select = select.where('kind', '=', kind);
  return (await select.executeTakeFirstOrThrow()).used;
}

/** Of files that no push under way was told of; as many as make up `bytes`. */
async function evictMatchedFiles(trx: Trx, organizationGuid: Guid<'organization'>, bytes: number) {
  const { rows } = await sql<{ guid: string; bytes: number }>`
    WITH oldest AS (
      SELECT guid, matched_files.bytes, sum(matched_files.bytes) OVER (ORDER BY last_used_at, guid) AS upto
      FROM matched_files JOIN stored_blobs ON kind = 'resources' AND key = guid
      WHERE organization_guid = ${organizationGuid} AND last_used_at < now() - ${PUSH})
    DELETE FROM matched_files USING oldest
    WHERE matched_files.guid = oldest.guid AND oldest.upto - oldest.bytes < ${bytes}
    RETURNING matched_files.guid, matched_files.bytes`.execute(trx);
  await forget(
    trx,
    rows.map(({ guid }) => ({ kind: 'resources', key: guid })),
  );
  return rows;
}

async function shareUsedUp(trx: Trx, blob: TenantBlob, limit: number): Promise<CfError> {
  const row = await trx
    .selectFrom('organizations')
    .select('name')
    .where('guid', '=', blob.organizationGuid)
    .executeTakeFirst();
  const mebibytes = Math.floor(limit / 1024 ** 2);
  return unprocessable(
    `Storage quota exceeded for organization '${row?.name ?? ''}': its packages and droplets may take ${mebibytes} MB. ` +
      'Delete apps, packages or droplets that are no longer needed.',
  );
}
