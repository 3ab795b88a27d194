import { basename } from 'node:path';
import { CupolaError } from '../../kit/errors.ts';
import { readFileLater } from '../../kit/streams.ts';
import type { Context, SystemBuildpack } from '../context.ts';
import { now } from '../database.ts';
import { keyOf } from './bits.ts';
import { makeRoom } from './store.ts';

const BUILDPACK_MAX_BYTES = 2 * 1024 ** 3;

/**
 * Installs the platform's buildpacks, and renews those whose zip is another than at the last start, unless an operator locked
 * them. What an operator replaced or deleted in between stays so. What lies in the blobstore under its digest is not read again.
 */
export async function seedBuildpacks(context: Stores, wanted: readonly SystemBuildpack[]): Promise<void> {
  const former = await context.db.selectFrom('system_buildpacks').selectAll().execute();
  const known = new Map(former.map(({ name, sha256 }) => [name, sha256]));
  const changed = wanted.filter(({ name, sha256 }) => known.get(name) !== sha256);
  const kept = await Promise.all(changed.map((item) => keepContent(context, item)));
  // One after the other: positions follow from the order.
  for (const [index, { name, sha256 }] of changed.entries()) {
    const item = kept[index];
    if (item === 'locked') continue; // it is renewed once it is unlocked
    if (item) await install(context, item);
    await context.db
      .insertInto('system_buildpacks')
      .values({ name, sha256 })
      .onConflict((conflict) => conflict.column('name').doUpdateSet({ sha256 }))
      .execute();
  }
}

type Stores = Pick<Context, 'db' | 'blobs' | 'log'>;

interface Kept extends SystemBuildpack {
  guid: string;
  key: string;
  isNew: boolean;
}

/** Null where the buildpack has this content already. */
async function keepContent({ db, blobs }: Stores, item: SystemBuildpack): Promise<Kept | 'locked' | null> {
  const { name, stack, sha256 } = item;
  const existing = await db
    .selectFrom('buildpacks')
    .selectAll()
    .where('name', '=', name)
    .where((eb) => eb.or([eb('stack', 'is not distinct from', stack), eb('stack', 'is', null)]))
    .executeTakeFirst();
  if (existing?.sha256 === sha256) return null;
  if (existing?.locked) return 'locked';
  const guid = existing?.guid ?? crypto.randomUUID();
  const key = keyOf({ guid }, sha256);
  if ((await blobs.stat('buildpacks', key))?.sha256 !== sha256) {
    const adopted =
      item.linkedFile === undefined ? null : await blobs.adopt('buildpacks', key, item.linkedFile, sha256);
    const stored = adopted ?? (await blobs.put('buildpacks', key, readFileLater(item.file), BUILDPACK_MAX_BYTES));
    if (stored.sha256 !== sha256) throw new CupolaError('buildpack_changed', `${name} is not the zip that was built`);
  }
  return { ...item, guid, key, isNew: existing === undefined };
}

async function install({ db, log }: Stores, item: Kept): Promise<void> {
  const { guid, name, stack, position, sha256 } = item;
  const content = { state: 'READY' as const, filename: basename(item.file), sha256, blob_key: item.key };
  if (item.isNew) {
    await db.transaction().execute(async (trx) => {
      const place = await makeRoom(trx, position);
      await trx
        .insertInto('buildpacks')
        .values({ guid, name, stack, position: place, enabled: true, locked: false, ...content })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    });
  } else {
    await db
      .updateTable('buildpacks')
      .set({ ...content, updated_at: now })
      .where('guid', '=', guid)
      .execute();
  }
  log.info('a system buildpack was installed', { buildpack: name, sha256 });
}
