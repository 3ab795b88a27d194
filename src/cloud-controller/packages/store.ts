import type { InsertObject, Selectable, UpdateObject } from 'kysely';
import { type Database, type Db, now, type ResourceColumns, type Trx, type WithDefault } from '../database.ts';
import { bitsOrImage, type DockerTable } from '../docker/images.ts';
import type { Guid } from '../guid.ts';
import type { PackageState } from './state.ts';

declare module '../database.ts' {
  interface Database {
    packages: PackageTable;
  }
}

/** With an image it is of that, else of bits. */
export interface PackageTable extends ResourceColumns<Guid<'package'>>, DockerTable {
  app_guid: Guid<'app'>;
  state: PackageState;
  error: WithDefault<string | null>;
  sha256: WithDefault<string | null>;
}

/** A package as it lies, without what its registry asks for. */
export type PackageRow = Omit<Selectable<PackageTable>, 'docker_key_label' | 'docker_data'>;

type Common = Omit<PackageRow, 'docker_image' | 'docker_username' | 'error' | 'sha256'>;

/** Files of the blobstore; without a checksum they are not there, or not yet. */
interface Bits extends Common {
  type: 'bits';
  error: string | null;
  sha256: string | null;
}

/** An image of a registry. */
interface Image extends Common {
  type: 'docker';
  image: string;
  username: string | null;
}

/** What a package is: its row says it by which of its columns are set. */
export type Package = Bits | Image;

export function packageOf(row: PackageRow): Package {
  const { docker_image: _image, docker_username: _username, error, sha256, ...common } = row;
  const made = bitsOrImage(row);
  return made.type === 'docker' ? { ...common, ...made } : { ...common, ...made, error, sha256 };
}

const COLUMNS = [
  'packages.id',
  'packages.guid',
  'packages.created_at',
  'packages.updated_at',
  'packages.labels',
  'packages.annotations',
  'packages.app_guid',
  'packages.state',
  'packages.error',
  'packages.sha256',
  'packages.docker_image',
  'packages.docker_username',
] as const;

export async function findPackage(db: Db, guid: Guid<'package'>): Promise<PackageRow | null> {
  return (await db.selectFrom('packages').select(COLUMNS).where('guid', '=', guid).executeTakeFirst()) ?? null;
}

/** With what its registry asks for, sealed. */
export async function findSealedPackage(db: Db, guid: Guid<'package'>): Promise<Selectable<PackageTable> | null> {
  return (await db.selectFrom('packages').selectAll().where('guid', '=', guid).executeTakeFirst()) ?? null;
}

export function selectPackages(db: Db) {
  return db
    .selectFrom('packages')
    .innerJoin('apps', 'apps.guid', 'packages.app_guid')
    .innerJoin('spaces', 'spaces.guid', 'apps.space_guid')
    .select(COLUMNS);
}

export async function insertPackage(trx: Trx, values: InsertObject<Database, 'packages'>): Promise<PackageRow> {
  return trx.insertInto('packages').values(values).returning(COLUMNS).executeTakeFirstOrThrow();
}

/** Of a row that the transaction has locked. */
export async function updatePackage(
  trx: Trx,
  guid: Guid<'package'>,
  changes: UpdateObject<Database, 'packages'>,
): Promise<PackageRow> {
  return trx
    .updateTable('packages')
    .set({ ...changes, updated_at: now })
    .where('guid', '=', guid)
    .returning(COLUMNS)
    .executeTakeFirstOrThrow();
}

/** Ends an upload; null where it was given up meanwhile. */
export async function finishUpload(trx: Trx, guid: Guid<'package'>, sha256: string): Promise<PackageRow | null> {
  const row = await trx
    .updateTable('packages')
    .set({ state: 'READY', sha256, updated_at: now })
    .where('guid', '=', guid)
    .where('state', '=', 'PROCESSING_UPLOAD')
    .returning(COLUMNS)
    .executeTakeFirst();
  return row ?? null;
}

/** Gives the guid of its app; null where it is gone already. */
export async function deletePackage(trx: Trx, guid: Guid<'package'>): Promise<Guid<'app'> | null> {
  const row = await trx.deleteFrom('packages').where('guid', '=', guid).returning('app_guid').executeTakeFirst();
  return row?.app_guid ?? null;
}
