import { type RawBuilder, sql } from 'kysely';
import type { BlobKind } from '../../contracts/blobs.ts';
import { lockApp } from '../apps/store.ts';
import { now, type Trx } from '../database.ts';
import { CfError } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { deleteBlob, forget, type Storage } from './ledger.ts';

type Expired = { kind: BlobKind; key: string };

/** Droplets that an app runs, may run again without being asked, or is being given. */
const NEEDED_DROPLETS = sql`
  SELECT droplet_guid FROM apps WHERE guid = app
  UNION SELECT droplet_guid FROM processes WHERE app_guid = app
  UNION SELECT droplet_guid FROM tasks WHERE app_guid = app AND state IN ('PENDING', 'RUNNING', 'CANCELING')
  UNION SELECT unnest(ARRAY[droplet_guid, previous_droplet_guid]) FROM deployments
    WHERE app_guid = app AND status_value = 'ACTIVE'`;

/** Packages of the current droplet, and those that are being staged. */
const NEEDED_PACKAGES = sql`
  SELECT package_guid FROM droplets JOIN apps ON apps.droplet_guid = droplets.guid WHERE apps.guid = app
  UNION SELECT package_guid FROM builds WHERE app_guid = app AND state = 'STAGING'`;

/**
 * Expires the packages and droplets of an app beyond the newest that are kept, as Cloud Foundry does: the row stays for a
 * while with the state EXPIRED, the bits go. What the app runs, deploys or stages now is kept beside those.
 */
async function expireOf(storage: Storage, appGuid: Guid<'app'>): Promise<void> {
  const { keptDroplets, keptPackages } = storage.settings.storage;
  const expired = await storage.db.transaction().execute(async (trx) => {
    await lockApp(trx, appGuid);
    const gone: Expired[] = [
      ...(await expire(trx, 'droplets', appGuid, keptDroplets)),
      ...(await expire(trx, 'packages', appGuid, keptPackages)),
    ];
    await forget(trx, gone);
    return gone;
  });
  for (const { kind, key } of expired) await deleteBlob(storage, kind, key);
}

/** The same, for whoever made one more: what fails here is done by the next sweep and fails nobody. */
export async function expireBitsOf(storage: Storage, appGuid: Guid<'app'>): Promise<void> {
  await expireOf(storage, appGuid).catch((error: unknown) => {
    if (error instanceof CfError) return; // the app was deleted meanwhile
    storage.log.warn('bits of an app were not expired', { app: appGuid, error });
  });
}

/** The same for every app that has more than it may keep; what was missed when it came is caught up with here. */
export async function expireBits(storage: Storage): Promise<void> {
  const { keptDroplets, keptPackages } = storage.settings.storage;
  const { rows } = await sql<{ app_guid: Guid<'app'> }>`
    SELECT app_guid FROM droplets WHERE state IN ('STAGED', 'FAILED') GROUP BY app_guid HAVING count(*) > ${keptDroplets}
    UNION
    SELECT app_guid FROM packages WHERE state IN ('READY', 'FAILED') GROUP BY app_guid HAVING count(*) > ${keptPackages}`.execute(
    storage.db,
  );
  for (const { app_guid: guid } of rows) await expireBitsOf(storage, guid);
}

async function expire(
  trx: Trx,
  table: 'droplets' | 'packages',
  appGuid: Guid<'app'>,
  kept: number,
): Promise<Expired[]> {
  const [ready, needed]: [string, RawBuilder<unknown>] =
    table === 'droplets' ? ['STAGED', NEEDED_DROPLETS] : ['READY', NEEDED_PACKAGES];
  const { rows } = await sql<{ guid: string }>`
    UPDATE ${sql.table(table)} SET state = 'EXPIRED', updated_at = ${now} WHERE guid IN (
      SELECT bits.guid FROM ${sql.table(table)} AS bits, (SELECT ${appGuid}::text AS app) AS given
      WHERE bits.app_guid = app AND bits.state IN (${ready}, 'FAILED')
        AND bits.guid NOT IN (SELECT * FROM (${needed}) AS needed (guid) WHERE guid IS NOT NULL)
      ORDER BY bits.id DESC OFFSET ${kept})
    RETURNING guid`.execute(trx);
  return rows.map(({ guid }) => ({ kind: table, key: guid }));
}
