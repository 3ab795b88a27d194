import { sql } from 'kysely';
import type { BlobKind } from '../../contracts/blobs.ts';
import { attemptEach, Reconciler } from '../../kit/reconcile.ts';
import { now } from '../database.ts';
import { deleteBlob, type Storage } from './ledger.ts';
import { expireBits } from './retention.ts';

const EVERY_MS = 3600_000;
/** Longer than any upload, copy or staging takes: what is younger may belong to one. */
const GRACE = sql`interval '24 hours'`;
const GRACE_MS = 24 * 3600_000;
/** An upload that has not ended after this has ended with the process that took it. */
const UPLOAD = sql`interval '6 hours'`;

/** What each kind of blob belongs to: a condition on `key`. */
const OWNED = {
  packages: sql<boolean>`(EXISTS (SELECT FROM packages WHERE guid = key AND state IN ('READY', 'PROCESSING_UPLOAD')))`,
  droplets: sql<boolean>`(EXISTS (SELECT FROM droplets WHERE guid = key AND state IN ('STAGED', 'PROCESSING_UPLOAD'))
    OR EXISTS (SELECT FROM builds WHERE droplet_guid = key AND state = 'STAGING'))`,
  'buildpack-caches': sql<boolean>`(EXISTS (SELECT FROM apps WHERE guid = left(key, 36)))`,
  resources: sql<boolean>`(EXISTS (SELECT FROM matched_files WHERE guid = key))`,
  buildpacks: sql<boolean>`(EXISTS (SELECT FROM buildpacks WHERE blob_key = key))`,
} as const satisfies Record<BlobKind, unknown>;

/** Of whom a blob is that is in no account: one that was put before there was any. */
const ORGANIZATION = sql`(SELECT organization_guid FROM spaces JOIN apps ON apps.space_guid = spaces.guid WHERE apps.guid =
  CASE kind WHEN 'packages' THEN (SELECT app_guid FROM packages WHERE packages.guid = key)
    WHEN 'droplets' THEN coalesce((SELECT app_guid FROM droplets WHERE droplets.guid = key),
      (SELECT app_guid FROM builds WHERE droplet_guid = key LIMIT 1))
    ELSE left(key, 36) END)`;

const KINDS = Object.keys(OWNED) as BlobKind[];
const PAGE = 500;

/** Keeps the blobstore to what something still needs; runs each hour, on any number of control processes. */
export class StorageSweep {
  readonly #reconciler: Reconciler;

  constructor(storage: Storage) {
    this.#reconciler = new Reconciler('storage-sweep', EVERY_MS, () => sweepStorage(storage), storage.log);
  }

  start(): void {
    this.#reconciler.start();
  }

  async close(): Promise<void> {
    await this.#reconciler.stop();
  }
}

/**
 * Ends uploads that were cut off, expires what is more than an app may keep, drops matched files that nobody uses, and
 * removes blobs that belong to nothing. Rows go before their blobs, so that a crash leaves blobs to the next sweep and never
 * a row without its blob; whatever is younger than a push may last is left alone. A part that fails stops no other.
 */
export async function sweepStorage(storage: Storage): Promise<void> {
  const steps: Record<string, () => Promise<void>> = {
    'end uploads': () => endUploads(storage),
    'expire bits': () => expireBits(storage),
    'drop unused files': () => dropUnusedFiles(storage),
  };
  for (const kind of KINDS) {
    steps[`drop accounts of ${kind}`] = () => dropAccounts(storage, kind);
    steps[`remove ${kind}`] = () => removeBlobs(storage, kind);
  }
  await attemptEach(steps, storage.log);
}

async function endUploads({ db }: Storage): Promise<void> {
  const cutOff = { state: 'FAILED' as const, error: 'The upload was cut off.', updated_at: now };
  for (const table of ['packages', 'droplets'] as const) {
    await db
      .updateTable(table)
      .set(cutOff)
      .where('state', '=', 'PROCESSING_UPLOAD')
      .where('updated_at', '<', sql<Date>`now() - ${UPLOAD}`)
      .execute();
  }
}

async function dropUnusedFiles(storage: Storage): Promise<void> {
  const days = storage.settings.storage.matchedFileDays;
  const { rows } = await sql<{ guid: string }>`
    WITH unused AS (DELETE FROM matched_files WHERE last_used_at < now() - make_interval(days => ${days}) RETURNING guid)
    DELETE FROM stored_blobs USING unused WHERE kind = 'resources' AND key = guid RETURNING guid`.execute(storage.db);
  for (const { guid } of rows) await deleteBlob(storage, 'resources', guid);
}

/** Accounts whose blob never came, or whose app, package or droplet is gone. */
async function dropAccounts(storage: Storage, kind: BlobKind): Promise<void> {
  const dropped = await storage.db
    .deleteFrom('stored_blobs')
    .where('kind', '=', kind)
    .where('updated_at', '<', sql<Date>`now() - ${GRACE}`)
    .where((eb) => eb.not(OWNED[kind]))
    .returning('key')
    .execute();
  for (const { key } of dropped) await deleteBlob(storage, kind, key);
}

/** Blobs without an account: those that belong to something get one, the others go. */
async function removeBlobs(storage: Storage, kind: BlobKind): Promise<void> {
  let page: { key: string; bytes: number; old: boolean }[] = [];
  for await (const { key, bytes, modifiedAt } of storage.blobs.list(kind)) {
    page.push({ key, bytes, old: Date.now() - modifiedAt.getTime() > GRACE_MS });
    if (page.length < PAGE) continue;
    await judge(storage, kind, page);
    page = [];
  }
  await judge(storage, kind, page);
}

async function judge(storage: Storage, kind: BlobKind, page: readonly { key: string; bytes: number; old: boolean }[]) {
  const { db } = storage;
  if (page.length === 0) return;
  const isTenants = kind !== 'buildpacks';
  const { rows } = await sql<{ key: string; owned: boolean }>`
    SELECT key, ${OWNED[kind]} AS owned FROM unnest(${page.map(({ key }) => key)}::text[]) AS found (key)
    WHERE NOT EXISTS (SELECT FROM stored_blobs WHERE kind = ${kind} AND stored_blobs.key = found.key)`.execute(db);
  const unknown = new Map(rows.map((row) => [row.key, row.owned]));
  for (const { key, bytes, old } of page) {
    const owned = unknown.get(key);
    if (owned === undefined) continue;
    if (!owned && old) {
      await deleteBlob(storage, kind, key);
      storage.log.info('a blob that belonged to nothing was removed', { kind, blob: key, bytes });
    } else if (owned && isTenants && kind !== 'resources') {
      await sql`INSERT INTO stored_blobs (kind, key, organization_guid, bytes)
        SELECT kind, key, organization, bytes FROM (SELECT kind, key, bytes, ${ORGANIZATION} AS organization
          FROM (VALUES (${kind}::text, ${key}::text, ${bytes}::bigint)) AS blob (kind, key, bytes)) AS found
        WHERE organization IS NOT NULL ON CONFLICT DO NOTHING`.execute(db);
    }
  }
}
