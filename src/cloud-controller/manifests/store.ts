import type { Db } from '../database.ts';
import { bitsOrImage } from '../docker/images.ts';
import type { Guid } from '../guid.ts';

/** The image of a droplet as it was pushed, not as staging pinned it; null where nothing was staged. */
export async function pushedImage(db: Db, dropletGuid: Guid<'droplet'> | null): Promise<Record<string, string> | null> {
  if (dropletGuid === null) return null;
  const pushed = await db
    .selectFrom('droplets')
    .innerJoin('packages', 'packages.guid', 'droplets.package_guid')
    .select(['packages.docker_image', 'packages.docker_username'])
    .where('droplets.guid', '=', dropletGuid)
    .executeTakeFirst();
  const made = pushed && bitsOrImage(pushed);
  if (made?.type !== 'docker') return null;
  return { image: made.image, ...(made.username ? { username: made.username } : {}) };
}
