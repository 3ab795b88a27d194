import { type RawBuilder, type Selectable, sql } from 'kysely';
import { type Db, lockRow, now, type RowColumns, type Trx } from '../database.ts';
import { notFound, unprocessable } from '../errors.ts';
import { type Guid, newGuid } from '../guid.ts';
import { type LimitColumns, limitColumns, naming, newLimits } from '../quotas/store.ts';
import { findSpaces } from '../spaces/store.ts';
import type { SpaceQuotaInput } from './schema.ts';

declare module '../database.ts' {
  interface Database {
    space_quotas: SpaceQuotaTable;
  }
}

export interface SpaceQuotaTable extends RowColumns<Guid<'space_quota'>>, LimitColumns {
  name: string;
  organization_guid: Guid<'organization'>;
}

/** A quota with what it is applied to, and what is needed of its organization to decide who may do what to it. */
export interface SpaceQuota extends Selectable<SpaceQuotaTable> {
  space_guids: Guid<'space'>[];
  organization_suspended: boolean;
}

export function selectSpaceQuotas(db: Db) {
  return db
    .selectFrom('space_quotas')
    .innerJoin('organizations', 'organizations.guid', 'space_quotas.organization_guid')
    .selectAll('space_quotas')
    .select('organizations.suspended as organization_suspended')
    .select(
      sql<Guid<'space'>[]>`ARRAY(SELECT guid FROM spaces AS applied
        WHERE applied.space_quota_guid = space_quotas.guid ORDER BY applied.id)`.as('space_guids'),
    );
}

/** Null too for a quota that `condition` leaves out. */
export async function findSpaceQuota(
  db: Db,
  guid: Guid<'space_quota'>,
  condition: RawBuilder<boolean> | null = null,
): Promise<SpaceQuota | null> {
  const select = selectSpaceQuotas(db).where('space_quotas.guid', '=', guid);
  return (await select.where(condition ?? sql<boolean>`true`).executeTakeFirst()) ?? null;
}

/** Throws UnprocessableEntity where a quota of the organization has that name, or where it cannot be applied to these spaces. */
export async function insertSpaceQuota(
  trx: Trx,
  name: string,
  organizationGuid: Guid<'organization'>,
  input: SpaceQuotaInput,
  spaceGuids: readonly Guid<'space'>[],
): Promise<SpaceQuota> {
  const quota = { guid: newGuid<'space_quota'>(), organization_guid: organizationGuid };
  await naming('Space', name, () =>
    trx
      .insertInto('space_quotas')
      .values({ ...quota, name, ...newLimits(input) })
      .execute(),
  );
  await applySpaceQuota(trx, quota, spaceGuids);
  return written(trx, quota.guid);
}

/** Changes what a request names. Throws ResourceNotFound where it is gone, UnprocessableEntity where another has that name. */
export async function updateSpaceQuota(
  trx: Trx,
  guid: Guid<'space_quota'>,
  input: SpaceQuotaInput,
): Promise<SpaceQuota> {
  const before = await lockRow(trx, 'space_quotas', guid, notFound('Space quota'));
  const { name } = input;
  await naming('Space', name ?? before.name, () =>
    trx
      .updateTable('space_quotas')
      .set({ name, ...limitColumns(input), updated_at: now })
      .where('guid', '=', guid)
      .execute(),
  );
  return written(trx, guid);
}

/** Gives how many spaces have it now that were named. Throws UnprocessableEntity where one is not there, or in another organization. */
export async function applySpaceQuota(
  trx: Trx,
  quota: Pick<SpaceQuota, 'guid' | 'organization_guid'>,
  spaceGuids: readonly Guid<'space'>[],
): Promise<number> {
  const found = new Map((await findSpaces(trx, spaceGuids)).map((space) => [space.guid, space]));
  const missing = spaceGuids.filter((guid) => !found.has(guid));
  if (missing.length > 0) {
    throw unprocessable(
      `Spaces with guids ["${missing.join('", "')}"] do not exist, or you do not have access to them.`,
    );
  }
  if ([...found.values()].some((space) => space.organization_guid !== quota.organization_guid)) {
    throw unprocessable('Space quotas cannot be applied outside of their owning organization.');
  }
  if (spaceGuids.length === 0) return 0;
  const applied = await trx
    .updateTable('spaces')
    .set({ space_quota_guid: quota.guid, updated_at: now })
    .where('guid', 'in', spaceGuids)
    .returning('guid')
    .execute();
  return applied.length;
}

/** Takes it from a space; false where the space does not have it. */
export async function removeSpaceQuota(
  trx: Trx,
  guid: Guid<'space_quota'>,
  spaceGuid: Guid<'space'>,
): Promise<boolean> {
  const removed = await trx
    .updateTable('spaces')
    .set({ space_quota_guid: null, updated_at: now })
    .where('guid', '=', spaceGuid)
    .where('space_quota_guid', '=', guid)
    .returning('guid')
    .executeTakeFirst();
  return removed !== undefined;
}

/** Takes the lock of its row, for which whoever applies it waits. Null where it is gone. */
export async function lockSpaceQuota(trx: Trx, guid: Guid<'space_quota'>): Promise<SpaceQuota | null> {
  await trx.selectFrom('space_quotas').select('guid').where('guid', '=', guid).forUpdate().execute();
  return findSpaceQuota(trx, guid);
}

export async function deleteSpaceQuota(trx: Trx, guid: Guid<'space_quota'>): Promise<void> {
  await trx.deleteFrom('space_quotas').where('guid', '=', guid).execute();
}

async function written(trx: Trx, guid: Guid<'space_quota'>): Promise<SpaceQuota> {
  const quota = await findSpaceQuota(trx, guid);
  if (!quota) throw notFound('Space quota');
  return quota;
}
