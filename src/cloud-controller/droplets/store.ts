import { type InsertObject, type Selectable, sql } from 'kysely';
import { type Database, type Db, now, type ResourceColumns, type Trx, type WithDefault } from '../database.ts';
import { bitsOrImage, type DockerTable } from '../docker/images.ts';
import type { Guid } from '../guid.ts';
import { readAll } from '../list.ts';
import type { DropletState } from './state.ts';

declare module '../database.ts' {
  interface Database {
    droplets: DropletTable;
  }
}

export interface DropletBuildpack {
  name: string;
  detect_output: string | null;
  buildpack_name: string | null;
  version: string | null;
}

/** With an image (by its digest) it is that, else bits of the blobstore. */
export interface DropletTable extends ResourceColumns<Guid<'droplet'>>, DockerTable {
  app_guid: Guid<'app'>;
  package_guid: Guid<'package'> | null;
  state: DropletState;
  error: WithDefault<string | null>;
  sha256: WithDefault<string | null>;
  process_types: Record<string, string>;
  execution_metadata: WithDefault<string>;
  buildpacks: DropletBuildpack[];
  stack: string | null;
  /** What its buildpacks run beside the app. */
  sidecars: WithDefault<DropletSidecar[]>;
}

export interface DropletSidecar {
  name: string;
  command: string;
  process_types: string[];
  memory_mb: number | null;
}

/** All of a droplet, the password of its image sealed as it lies. */
export type SealedDroplet = Selectable<DropletTable>;
/** What it runs is read where it is meant (`runsOf`), and so is what its registry asks for (`findSealedDroplet`). */
export type DropletRow = Omit<
  SealedDroplet,
  'docker_key_label' | 'docker_data' | 'process_types' | 'execution_metadata' | 'sidecars'
>;
export type DropletRuns = Pick<SealedDroplet, 'process_types' | 'execution_metadata'>;

type Common = Omit<DropletRow, 'docker_image' | 'docker_username' | 'sha256' | 'buildpacks' | 'stack'>;

/** A tarball of the blobstore, made by buildpacks or uploaded; without a checksum it is not there, or not yet. */
interface Bits extends Common {
  type: 'bits';
  sha256: string | null;
  buildpacks: DropletBuildpack[];
  stack: string | null;
}

/** An image of a registry, by its digest; it brings its own root filesystem. */
interface Image extends Common {
  type: 'docker';
  image: string;
  username: string | null;
}

/** What a droplet is: its row says it by which of its columns are set. */
export type Droplet = Bits | Image;

export function dropletOf(row: DropletRow): Droplet {
  const { docker_image: _image, docker_username: _username, sha256, buildpacks, stack, ...common } = row;
  const made = bitsOrImage(row);
  return made.type === 'docker' ? { ...common, ...made } : { ...common, ...made, sha256, buildpacks, stack };
}

const COLUMNS = [
  'droplets.id',
  'droplets.guid',
  'droplets.created_at',
  'droplets.updated_at',
  'droplets.labels',
  'droplets.annotations',
  'droplets.app_guid',
  'droplets.package_guid',
  'droplets.state',
  'droplets.error',
  'droplets.sha256',
  'droplets.buildpacks',
  'droplets.stack',
  'droplets.docker_image',
  'droplets.docker_username',
] as const;

export async function findDroplet(db: Db, guid: Guid<'droplet'>): Promise<DropletRow | null> {
  return (await db.selectFrom('droplets').select(COLUMNS).where('guid', '=', guid).executeTakeFirst()) ?? null;
}

export async function findSealedDroplet(db: Db, guid: Guid<'droplet'>): Promise<SealedDroplet | null> {
  return (await db.selectFrom('droplets').selectAll().where('guid', '=', guid).executeTakeFirst()) ?? null;
}

/** A droplet that an app may run; null where it has no such. */
export async function findStagedDroplet(
  db: Db,
  appGuid: Guid<'app'>,
  guid: Guid<'droplet'>,
): Promise<Pick<SealedDroplet, 'guid' | 'process_types' | 'sidecars'> | null> {
  const row = await db
    .selectFrom('droplets')
    .select(['guid', 'process_types', 'sidecars'])
    .where('guid', '=', guid)
    .where('app_guid', '=', appGuid)
    .where('state', '=', 'STAGED')
    .executeTakeFirst();
  return row ?? null;
}

export function selectDroplets(db: Db) {
  return db
    .selectFrom('droplets')
    .innerJoin('apps', 'apps.guid', 'droplets.app_guid')
    .innerJoin('spaces', 'spaces.guid', 'apps.space_guid')
    .select(COLUMNS);
}

/** What these droplets run, by guid. */
export async function runsOf(db: Db, guids: readonly string[]): Promise<ReadonlyMap<string, DropletRuns>> {
  const select = db
    .selectFrom('droplets')
    .select(['guid', 'process_types', 'execution_metadata'])
    .where(sql<boolean>`guid = ANY(${guids})`);
  return new Map((await readAll(select)).map((row) => [row.guid, row]));
}

/** Whether an app starts from it or instances of it run. */
export async function isDropletInUse(db: Db, guid: Guid<'droplet'>): Promise<boolean> {
  const app = await db.selectFrom('apps').select('guid').where('droplet_guid', '=', guid).executeTakeFirst();
  const process = await db
    .selectFrom('processes')
    .select('guid')
    .where('droplet_guid', '=', guid)
    .where('state', '=', 'STARTED')
    .executeTakeFirst();
  return app !== undefined || process !== undefined;
}

export async function insertDroplet(trx: Trx, values: InsertObject<Database, 'droplets'>): Promise<DropletRow> {
  return trx.insertInto('droplets').values(values).returning(COLUMNS).executeTakeFirstOrThrow();
}

/** Ends an upload; null where it was given up meanwhile. */
export async function finishUpload(trx: Trx, guid: Guid<'droplet'>, sha256: string): Promise<DropletRow | null> {
  const row = await trx
    .updateTable('droplets')
    .set({ state: 'STAGED', sha256, updated_at: now })
    .where('guid', '=', guid)
    .where('state', '=', 'PROCESSING_UPLOAD')
    .returning(COLUMNS)
    .executeTakeFirst();
  return row ?? null;
}

/** False where it is gone already. */
export async function deleteDroplet(trx: Trx, guid: Guid<'droplet'>): Promise<boolean> {
  const row = await trx.deleteFrom('droplets').where('guid', '=', guid).returning('guid').executeTakeFirst();
  return row !== undefined;
}
