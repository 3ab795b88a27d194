import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { deleteBlob } from '../apps/delete.ts';
import type { Context } from '../context.ts';
import { now } from '../database.ts';
import type { Job } from '../jobs/store.ts';
import { DEFAULT_STACK } from './store.ts';

/** A buildpack that comes with the platform. */
export interface SystemBuildpack {
  name: string;
  position: number;
  stack: string | null;
  /** A zip; read again at each start, so that an upgrade brings the new one. */
  file: string;
}

const BUILDPACK_MAX_BYTES = 2 * 1024 ** 3;

/** Makes sure the default stack is there. */
export async function seedStacks(context: Pick<Context, 'db'>): Promise<void> {
  await context.db
    .insertInto('stacks')
    .values({ guid: crypto.randomUUID(), name: DEFAULT_STACK, description: 'Debian 12 (bookworm), minimal' })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .execute();
}

/** Installs the platform's buildpacks, and renews those whose zip changed, unless an operator locked them. */
export async function seedBuildpacks(context: Context, wanted: readonly SystemBuildpack[]): Promise<void> {
  const { db, blobs, log } = context;
  for (const item of wanted) {
    const digest = createHash('sha256');
    for await (const chunk of createReadStream(item.file)) digest.update(chunk as Buffer);
    const sha256 = digest.digest('hex');
    const existing = await db
      .selectFrom('buildpacks')
      .selectAll()
      .where('name', '=', item.name)
      .where((eb) => eb.or([eb('stack', 'is not distinct from', item.stack), eb('stack', 'is', null)]))
      .executeTakeFirst();
    if (existing && (existing.locked || existing.sha256 === sha256)) continue;
    const guid = existing?.guid ?? crypto.randomUUID();
    const key = `${guid}_${sha256}`;
    await blobs.put('buildpacks', key, createReadStream(item.file), BUILDPACK_MAX_BYTES);
    const content = { state: 'READY' as const, filename: basename(item.file), sha256, blob_key: key };
    if (existing) {
      await db
        .updateTable('buildpacks')
        .set({ ...content, updated_at: now })
        .where('guid', '=', guid)
        .execute();
    } else {
      const { name, stack, position } = item;
      const values = { guid, name, stack, position, enabled: true, locked: false, ...content };
      await db
        .insertInto('buildpacks')
        .values(values)
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    }
    log.info('a system buildpack was installed', { buildpack: item.name, sha256 });
  }
}

/** Job "buildpack.delete". */
export async function deleteBuildpackJob(context: Context, job: Job): Promise<undefined> {
  const row = await context.db
    .deleteFrom('buildpacks')
    .where('guid', '=', job.resourceGuid ?? '')
    .returning('blob_key')
    .executeTakeFirst();
  if (row?.blob_key) await deleteBlob(context, 'buildpacks', row.blob_key);
}
