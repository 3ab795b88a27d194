import type { InsertObject, Selectable } from 'kysely';
import { type Database, type Db, now, type ResourceColumns, type Trx, type WithDefault } from '../database.ts';
import { isUniqueViolation, unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { Counted } from '../quotas/within.ts';
import type { BuildState } from './state.ts';

declare module '../database.ts' {
  interface Database {
    builds: BuildTable;
  }
}

export interface BuildTable extends ResourceColumns<Guid<'build'>> {
  app_guid: Guid<'app'>;
  package_guid: Guid<'package'>;
  state: BuildState;
  error: WithDefault<string | null>;
  /** The guid its droplet has, or will have. */
  droplet_guid: Guid<'droplet'>;
  lifecycle: WithDefault<Lifecycle>;
  buildpacks: string[];
  stack: string;
  staging_memory_mb: number;
  staging_disk_mb: number;
  created_by_guid: string;
  created_by_name: string;
  /** When Diego took the task; null while it is to be handed over. */
  desired_at: WithDefault<Date | null>;
}

/** A build as it lies. */
export type BuildRow = Selectable<BuildTable>;

type Common = Omit<BuildRow, 'state' | 'error' | 'droplet_guid'>;

interface Staging extends Common {
  state: 'STAGING';
}

interface Staged extends Common {
  state: 'STAGED';
  droplet_guid: Guid<'droplet'>;
}

interface Failed extends Common {
  state: 'FAILED';
  error: string | null;
}

/** What became of a build: only one that is staged has a droplet, and only one that failed says why. */
export type Build = Staging | Staged | Failed;

export function buildOf({ state, error, droplet_guid, ...common }: BuildRow): Build {
  switch (state) {
    case 'STAGING':
      return { ...common, state };
    case 'STAGED':
      return { ...common, state, droplet_guid };
    case 'FAILED':
      return { ...common, state, error };
  }
}

export async function findBuild(db: Db, guid: Guid<'build'>): Promise<BuildRow | null> {
  return (await db.selectFrom('builds').selectAll().where('guid', '=', guid).executeTakeFirst()) ?? null;
}

export function selectBuilds(db: Db) {
  return db.selectFrom('builds').innerJoin('apps', 'apps.guid', 'builds.app_guid').selectAll('builds');
}

/** Throws UnprocessableEntity where another build of the app is under way. */
export async function insertBuild(trx: Counted, values: InsertObject<Database, 'builds'>): Promise<BuildRow> {
  const insert = trx.insertInto('builds').values(values).returningAll();
  return insert.executeTakeFirstOrThrow().catch((error: unknown) => {
    if (!isUniqueViolation(error, 'builds_one_staging')) throw error;
    throw unprocessable('Only one build can be STAGING at a time per application.');
  });
}

/** Those that are under way, the oldest first. */
export async function stagingBuilds(db: Db): Promise<BuildRow[]> {
  return db.selectFrom('builds').selectAll().where('state', '=', 'STAGING').orderBy('id').execute();
}

/** Diego has its task. */
export async function markDesired(db: Db, guid: Guid<'build'>): Promise<void> {
  await db.updateTable('builds').set({ desired_at: now }).where('guid', '=', guid).execute();
}

/** False where it ended before. */
export async function endBuild(
  trx: Trx,
  guid: Guid<'build'>,
  end: { state: 'STAGED' } | { state: 'FAILED'; error: string },
): Promise<boolean> {
  const ended = await trx
    .updateTable('builds')
    .set({ ...end, updated_at: now })
    .where('guid', '=', guid)
    .where('state', '=', 'STAGING')
    .returning('guid')
    .executeTakeFirst();
  return ended !== undefined;
}
