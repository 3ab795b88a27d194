import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { type Caller, spacesWhere } from '../authorization.ts';
import { type Db, now } from '../database.ts';
import { CfError } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { keepBlob } from '../storage/keep.ts';
import { discardBlob, type MatchedFileTable, type Storage } from '../storage/ledger.ts';
import type { ArchiveEntry } from './archive.ts';

/** SHA-1 as clients name files by. */
export const SHA1 = /^[0-9a-f]{40}$/;

/** Files outside these bounds are not worth matching; the client sends them each time. */
const MATCHED_BYTES = { least: 64 * 1024, most: 512 * 1024 ** 2 } as const;

/** A file that a client need not send, since it could download it. */
export type MatchedFile = Pick<MatchedFileTable, 'guid' | 'sha1' | 'sha256' | 'bytes'>;

/**
 * Which of these files lie in spaces whose packages the caller may download, by SHA-1: knowing a digest is not having the
 * content. A size that differs is no match, nor is a SHA-1 that two different files share.
 */
export async function matchFiles(
  db: Db,
  caller: Caller,
  wanted: readonly { sha1: string; bytes: number }[],
): Promise<Map<string, MatchedFile>> {
  const sizes = new Map<string, number>();
  for (const { sha1, bytes } of wanted) {
    if (SHA1.test(sha1) && bytes >= MATCHED_BYTES.least && bytes <= MATCHED_BYTES.most) sizes.set(sha1, bytes);
  }
  if (sizes.size === 0) return new Map();
  const spaces = spacesWhere(caller, 'GET /v3/packages/:guid/download');
  const inSpaces = spaces.everything ? sql`true` : sql`space_guid IN ${spaces.guids}`;
  const { rows } = await sql<MatchedFile>`
    SELECT min(guid) AS guid, sha1, min(sha256) AS sha256, min(bytes) AS bytes
    FROM matched_files WHERE sha1 = ANY(${[...sizes.keys()]}) AND ${inSpaces}
    GROUP BY sha1 HAVING count(DISTINCT sha256) = 1`.execute(db);
  const found = rows.filter(({ sha1, bytes }) => sizes.get(sha1) === bytes);
  await touch(db, found);
  return new Map(found.map((file) => [file.sha1, file]));
}

/** Of what a client is about to send, what it need not. */
export async function knownResources<Resource extends { checksum: { value: string }; size_in_bytes: number }>(
  db: Db,
  caller: Caller,
  resources: readonly Resource[],
): Promise<Resource[]> {
  const wanted = resources.map((item) => ({ sha1: item.checksum.value, bytes: item.size_in_bytes }));
  const known = await matchFiles(db, caller, wanted);
  return resources.filter((item) => known.get(item.checksum.value)?.bytes === item.size_in_bytes);
}

/** Whether a file of an upload is worth it to be kept for later pushes. */
export function isWorthMatching({ type, bytes }: Pick<ArchiveEntry, 'type' | 'bytes'>): boolean {
  return type === 'file' && bytes >= MATCHED_BYTES.least && bytes <= MATCHED_BYTES.most;
}

/**
 * Keeps the files of an upload that are worth it, for later pushes of who may download the packages of this space; under
 * digests that are computed here, never what a client claims. Where there is no room they are not kept. Throws
 * ArchiveRefusedError.
 */
export async function rememberFiles(
  storage: Storage,
  place: { spaceGuid: Guid<'space'>; organizationGuid: Guid<'organization'> },
  entries: readonly ArchiveEntry[],
): Promise<void> {
  for (const entry of entries) {
    if (!isWorthMatching(entry)) continue;
    const { sha1, sha256 } = await digestsOf(entry);
    const known = await storage.db
      .selectFrom('matched_files')
      .select('guid')
      .where('space_guid', '=', place.spaceGuid)
      .where('sha256', '=', sha256)
      .executeTakeFirst();
    if (known) await touch(storage.db, [known]);
    else if (!(await remember(storage, place, entry, { sha1, sha256 }))) return;
  }
}

/** False where there is no room. */
async function remember(
  storage: Storage,
  place: { spaceGuid: Guid<'space'>; organizationGuid: Guid<'organization'> },
  entry: ArchiveEntry,
  digests: { sha1: string; sha256: string },
): Promise<boolean> {
  const guid = crypto.randomUUID();
  const blob = { kind: 'resources', key: guid, organizationGuid: place.organizationGuid } as const;
  const size = { maxBytes: MATCHED_BYTES.most, announced: entry.bytes };
  try {
    await keepBlob(storage, blob, await entry.open(), size);
  } catch (error) {
    if (error instanceof CfError) return false;
    throw error;
  }
  const row = await storage.db
    .insertInto('matched_files')
    .values({ guid, space_guid: place.spaceGuid, bytes: entry.bytes, ...digests })
    .onConflict((conflict) => conflict.columns(['space_guid', 'sha256']).doNothing())
    .returning('guid')
    .executeTakeFirst();
  if (row) return true;
  // Another upload kept the same at the same time.
  await discardBlob(storage, blob);
  return true;
}

async function digestsOf(entry: ArchiveEntry): Promise<{ sha1: string; sha256: string }> {
  const [sha1, sha256] = [createHash('sha1'), createHash('sha256')];
  for await (const chunk of await entry.open()) {
    sha1.update(chunk as Buffer);
    sha256.update(chunk as Buffer);
  }
  return { sha1: sha1.digest('hex'), sha256: sha256.digest('hex') };
}

/** Written down at most every ten minutes; what was used within the hour is not evicted. */
async function touch(db: Db, files: readonly { guid: string }[]): Promise<void> {
  if (files.length === 0) return;
  await db
    .updateTable('matched_files')
    .set({ last_used_at: now })
    .where(sql<boolean>`guid = ANY(${files.map(({ guid }) => guid)})`)
    .where('last_used_at', '<', sql<Date>`now() - interval '10 minutes'`)
    .execute();
}
