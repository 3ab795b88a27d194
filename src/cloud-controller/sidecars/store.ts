import type { Selectable, Updateable } from 'kysely';
import { type Db, now, type ResourceColumns, type Trx, type WithDefault } from '../database.ts';
import { isUniqueViolation, notFound, unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';

declare module '../database.ts' {
  interface Database {
    sidecars: SidecarTable;
  }
}

export interface SidecarTable extends ResourceColumns {
  app_guid: Guid<'app'>;
  name: string;
  command: string;
  process_types: string[];
  memory_mb: number | null;
  /** Who brought it: a person, or the droplet. */
  origin: WithDefault<'user' | 'buildpack'>;
}

export type Sidecar = Selectable<SidecarTable>;

/** What somebody, or a droplet, says of one. */
export type NewSidecar = Pick<Sidecar, 'name' | 'command' | 'process_types' | 'memory_mb'>;

export function selectSidecars(db: Db) {
  return db.selectFrom('sidecars').selectAll('sidecars');
}

export async function findSidecar(db: Db, guid: string): Promise<Sidecar | null> {
  return (await selectSidecars(db).where('guid', '=', guid).executeTakeFirst()) ?? null;
}

export async function findSidecarByName(db: Db, appGuid: Guid<'app'>, name: string): Promise<Sidecar | null> {
  const select = selectSidecars(db).where('app_guid', '=', appGuid).where('name', '=', name);
  return (await select.executeTakeFirst()) ?? null;
}

/** All of an app's, by name. */
export async function sidecarsOfApp(db: Db, appGuid: Guid<'app'>): Promise<Sidecar[]> {
  return selectSidecars(db).where('app_guid', '=', appGuid).orderBy('name').execute();
}

/** What runs beside a process of this type, by name. */
export async function sidecarsOfType(db: Db, appGuid: Guid<'app'>, type: string): Promise<Sidecar[]> {
  const all = await sidecarsOfApp(db, appGuid);
  return all.filter((sidecar) => sidecar.process_types.includes(type));
}

/** Throws UnprocessableEntity where the app has one of this name. */
export async function insertSidecar(
  trx: Trx,
  appGuid: Guid<'app'>,
  values: NewSidecar,
  origin: Sidecar['origin'],
): Promise<Sidecar> {
  return trx
    .insertInto('sidecars')
    .values({ guid: crypto.randomUUID(), app_guid: appGuid, ...values, origin })
    .returningAll()
    .executeTakeFirstOrThrow()
    .catch((error: unknown) => {
      throw nameTaken(error, values.name);
    });
}

/** Throws UnprocessableEntity where the app has another of this name, ResourceNotFound where it is gone. */
export async function updateSidecar(
  trx: Trx,
  sidecar: Pick<Sidecar, 'guid' | 'name'>,
  changes: Updateable<SidecarTable>,
): Promise<Sidecar> {
  return trx
    .updateTable('sidecars')
    .set({ ...changes, updated_at: now })
    .where('guid', '=', sidecar.guid)
    .returningAll()
    .executeTakeFirstOrThrow(() => notFound('Sidecar'))
    .catch((error: unknown) => {
      throw nameTaken(error, changes.name ?? sidecar.name);
    });
}

export async function deleteSidecar(trx: Trx, guid: string): Promise<Sidecar> {
  const deleted = await trx.deleteFrom('sidecars').where('guid', '=', guid).returningAll().executeTakeFirst();
  if (!deleted) throw notFound('Sidecar');
  return deleted;
}

/** Those that the last droplet brought. */
export async function deleteSidecarsOfDroplets(trx: Trx, appGuid: Guid<'app'>): Promise<void> {
  await trx.deleteFrom('sidecars').where('app_guid', '=', appGuid).where('origin', '=', 'buildpack').execute();
}

function nameTaken(error: unknown, name: string): unknown {
  if (!isUniqueViolation(error, 'sidecars_app_guid_name_key')) return error;
  return unprocessable(`Sidecar with name '${name}' already exists for given app`);
}
