import type { Readable } from 'node:stream';
import type { BlobInfo, BlobKind, HeldRoom } from '../../contracts/blobs.ts';
import { nowFor } from '../../kit/database-shares.ts';
import { CupolaError } from '../../kit/errors.ts';
import { madeOf, readFileLater, readLater } from '../../kit/streams.ts';
import { logLine } from '../apps/log-lines.ts';
import { findApp } from '../apps/store.ts';
import type { Context } from '../context.ts';
import { CfError, notFound } from '../errors.ts';
import { guid } from '../guid.ts';
import { deleteBlob, giveBack, reserve, type Storage, settle, storageError, type TenantBlob } from './ledger.ts';

/** How much room is taken at a time for what does not say its size. */
const STEP_BYTES = 32 * 1024 ** 2;

/** What a blob that nothing is left for was to belong to. */
const OWNERS: Partial<Record<BlobKind, string>> = { packages: 'Package', droplets: 'Droplet' };

/**
 * Writes a tenant's blob within its organization's share; this and `keepFile` are the ways in which any gets into the blobstore. `announced` is
 * its size where that is known: refused at once where there is no room for it. `room` is held by the caller already, if it is.
 * Throws as `reserve` and `withRoom`, ResourceNotFound where what it belongs to was deleted meanwhile, and 413 past `maxBytes`.
 */
export async function keepBlob(
  storage: Storage,
  blob: TenantBlob,
  body: Readable,
  { maxBytes, announced = 0, room }: { maxBytes: number; announced?: number | undefined; room?: HeldRoom },
): Promise<BlobInfo> {
  readLater(body);
  try {
    return await keep(storage, blob, announced, room, (held) =>
      storage.blobs.put(blob.kind, blob.key, metered(storage, blob, body, announced), maxBytes, held),
    );
  } catch (error) {
    body.destroy();
    throw error;
  }
}

/**
 * The same for what lies in a temporary file of the blobstore, whole and read once: it becomes the blob, and is neither read nor
 * written again. Throws as `keepBlob`.
 */
export async function keepFile(
  storage: Storage,
  blob: TenantBlob,
  file: { path: string } & BlobInfo,
  room: HeldRoom,
): Promise<BlobInfo> {
  return keep(storage, blob, file.bytes, room, (held) => placeFile(storage.blobs, blob, file, held));
}

/** Puts a temporary file in the blob's place; where it lies on another disk, a copy of it. */
export async function placeFile(
  blobs: Pick<Storage['blobs'], 'adopt' | 'put'>,
  { kind, key }: Pick<TenantBlob, 'kind' | 'key'>,
  { path, sha256, bytes }: { path: string } & BlobInfo,
  room: HeldRoom,
): Promise<BlobInfo> {
  return (await blobs.adopt(kind, key, path, sha256)) ?? blobs.put(kind, key, readFileLater(path), bytes, room);
}

async function keep(
  storage: Storage,
  blob: TenantBlob,
  bytes: number,
  room: HeldRoom | undefined,
  write: (held: HeldRoom) => Promise<BlobInfo>,
): Promise<BlobInfo> {
  const within = async (held: HeldRoom): Promise<BlobInfo> => {
    await reserve(storage, blob, bytes);
    const info = await write(held);
    if (await settle(storage.db, blob, info.bytes)) return info;
    await deleteBlob(storage, blob.kind, blob.key);
    throw notFound(OWNERS[blob.kind] ?? 'App');
  };
  try {
    return await (room ? within(room) : withRoom(storage, bytes, { organization: blob.organizationGuid }, within));
  } catch (error) {
    await afterFailure(storage, 'give back the room of', blob, () => giveBack(storage, blob));
    throw storageError(error);
  }
}

/** Whom room on the disk is held for, by guid: who sends something, and the organization that it is for. */
interface Owners {
  actor?: string;
  organization?: string;
}

/** Holds room on the disk while `use` runs, however it ends. Throws ServiceUnavailable where there is none. */
export async function withRoom<Result>(
  { blobs }: Pick<Storage, 'blobs'>,
  bytes: number,
  owners: Owners,
  use: (room: HeldRoom) => Promise<Result>,
): Promise<Result> {
  const names = Object.entries(owners).map(([kind, guid]) => `${kind} ${guid}`);
  const room = await blobs.hold(bytes, names).catch((error: unknown) => {
    throw storageError(error);
  });
  try {
    return await use(room);
  } finally {
    room.release();
  }
}

/**
 * Tidies up after something failed. That it cannot is logged, and hides nothing of what failed first; it is tried once more after
 * each of these times, for which nobody waits, and what is left then the sweep does.
 */
export async function afterFailure(
  storage: Pick<Storage, 'log'>,
  what: string,
  blob: Pick<TenantBlob, 'kind' | 'key'>,
  tidy: () => Promise<unknown>,
  [againMs, ...later]: readonly number[] = [],
): Promise<void> {
  try {
    await tidy();
  } catch (error) {
    storage.log.warn(`could not ${what} a blob`, { kind: blob.kind, blob: blob.key, error, againMs });
    if (againMs === undefined) return;
    setTimeout(() => void afterFailure(storage, what, blob, tidy, later), againMs).unref();
  }
}

/** The same bytes; takes room for them as they come, beyond what is `reserved`. */
export function metered(storage: Storage, blob: TenantBlob, body: Readable, reserved: number): Readable {
  return madeOf(body, async function* (chunks) {
    let room = reserved;
    let bytes = 0;
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > room) room = await reserveUpTo(storage, blob, bytes);
      yield chunk;
    }
  });
}

/** A step ahead where there is room for it, else as much as is needed. */
async function reserveUpTo(storage: Storage, blob: TenantBlob, bytes: number): Promise<number> {
  try {
    await reserve(storage, blob, bytes + STEP_BYTES);
    return bytes + STEP_BYTES;
  } catch (error) {
    if (!(error instanceof CfError)) throw error;
    await reserve(storage, blob, bytes);
    return bytes;
  }
}

/**
 * Takes what a cell uploads over a signed URL: the droplet of a build under way, or the cache of an app that is there.
 * Throws CupolaError `blob_refused` where there is no room, or nothing that the blob would belong to.
 */
export async function takeUpload(
  context: Context,
  kind: BlobKind,
  key: string,
  body: Readable,
  size: { maxBytes: number; announced?: number | undefined },
): Promise<BlobInfo> {
  const app = await findApp(context.db, guid<'app'>((await appOf(context, kind, key)) ?? ''));
  if (!app) throw new CupolaError('blob_refused', 'the blob belongs to nothing');
  nowFor(`organization ${app.organization_guid}`);
  try {
    return await keepBlob(context, { kind, key, organizationGuid: app.organization_guid }, body, size);
  } catch (error) {
    if (!(error instanceof CfError)) throw error;
    // Whoever pushes sees why; without its cache an app is staged all the same.
    if (kind === 'droplets') logLine(context, app, error.detail);
    throw new CupolaError('blob_refused', error.detail, { cause: error });
  }
}

async function appOf({ db }: Context, kind: BlobKind, key: string): Promise<string | undefined> {
  // A cache's key begins with its app's guid.
  if (kind === 'buildpack-caches') return key.slice(0, 36);
  if (kind !== 'droplets') return undefined;
  const build = await db
    .selectFrom('builds')
    .select('app_guid')
    .where('droplet_guid', '=', guid<'droplet'>(key))
    .where('state', '=', 'STAGING')
    .executeTakeFirst();
  return build?.app_guid;
}
