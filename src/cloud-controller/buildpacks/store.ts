import { type Selectable, sql } from 'kysely';
import { type Db, type Locked, now, type ResourceColumns, type Trx, type WithDefault } from '../database.ts';
import { CfError, isUniqueViolation, unprocessable } from '../errors.ts';
import { changedMetadata, type MetadataInput, newMetadata } from '../metadata.ts';
import { isBuildpackAddress } from './custom.ts';

declare module '../database.ts' {
  interface Database {
    buildpacks: BuildpackTable;
    system_buildpacks: SystemBuildpackTable;
  }
}

export const BUILDPACK_STATES = ['AWAITING_UPLOAD', 'READY'] as const;
type BuildpackState = (typeof BUILDPACK_STATES)[number];

export interface BuildpackTable extends ResourceColumns {
  name: string;
  stack: string | null;
  position: number;
  state: BuildpackState;
  enabled: boolean;
  locked: boolean;
  filename: WithDefault<string | null>;
  sha256: WithDefault<string | null>;
  /** The blob's key; changes with the content, so that a staging under way keeps what it was given. */
  blob_key: WithDefault<string | null>;
}

/** The digest of each of the platform's own buildpacks as it was installed last. */
export interface SystemBuildpackTable {
  name: string;
  sha256: string;
}

export type Buildpack = Selectable<BuildpackTable>;

export async function findBuildpack(db: Db, guid: string): Promise<Buildpack | null> {
  return (await db.selectFrom('buildpacks').selectAll().where('guid', '=', guid).executeTakeFirst()) ?? null;
}

/** Of these names those that an installed buildpack has. */
export async function installedNames(db: Db, names: readonly string[]): Promise<ReadonlySet<string>> {
  if (names.length === 0) return new Set();
  const rows = await db.selectFrom('buildpacks').select('name').where('name', 'in', names).execute();
  return new Set(rows.map((row) => row.name));
}

/** Throws UnprocessableEntity where the stack has one of the name. */
export async function insertBuildpack(
  trx: Trx,
  values: Pick<Buildpack, 'name' | 'stack' | 'position' | 'enabled' | 'locked'> & {
    metadata: MetadataInput | undefined;
  },
): Promise<Buildpack> {
  const { metadata, ...columns } = values;
  return trx
    .insertInto('buildpacks')
    .values({ guid: crypto.randomUUID(), ...columns, state: 'AWAITING_UPLOAD', ...newMetadata(metadata) })
    .returningAll()
    .executeTakeFirstOrThrow()
    .catch((error: unknown) => {
      throw nameTaken(error, columns);
    });
}

type Changes = Partial<Omit<Selectable<BuildpackTable>, keyof ResourceColumns>> & { metadata?: MetadataInput };

/** Throws UnprocessableEntity where the stack has another of the name. */
export async function updateBuildpack(
  trx: Trx,
  before: Locked<Buildpack>,
  { metadata, ...columns }: Changes,
): Promise<Buildpack> {
  return trx
    .updateTable('buildpacks')
    .set({ ...columns, ...changedMetadata(before, metadata), updated_at: now })
    .where('guid', '=', before.guid)
    .returningAll()
    .executeTakeFirstOrThrow()
    .catch((error: unknown) => {
      throw nameTaken(error, { name: columns.name ?? before.name, stack: columns.stack ?? before.stack });
    });
}

/** Gives what is gone by this; null where it was gone before. */
export async function deleteBuildpack(trx: Trx, guid: string): Promise<Buildpack | null> {
  return (await trx.deleteFrom('buildpacks').where('guid', '=', guid).returningAll().executeTakeFirst()) ?? null;
}

function nameTaken(error: unknown, { name, stack }: Pick<Buildpack, 'name' | 'stack'>): unknown {
  if (!isUniqueViolation(error, 'buildpacks_name_stack')) return error;
  return unprocessable(
    stack === null
      ? `Buildpack with name '${name}' and an unassigned stack already exists`
      : `Buildpack with name '${name}', stack '${stack}' and lifecycle 'buildpack' already exists`,
  );
}

/** A buildpack that a build runs; what lies in the blobstore of it, or null for one that the container fetches by its name. */
export interface ChosenBuildpack {
  name: string;
  /** Changes with the content, as far as that is known. */
  key: string;
  blob: { key: string; sha256: string } | null;
}

/**
 * The buildpacks a build runs: those named, in that order, or all that are enabled and fit the stack, by position. Of two
 * with the same name the one for this very stack is taken. Throws NoBuildpacksFound where nothing is left.
 */
export async function chooseBuildpacks(db: Db, names: readonly string[], stack: string): Promise<ChosenBuildpack[]> {
  const rows = await db
    .selectFrom('buildpacks')
    .selectAll()
    .where('state', '=', 'READY')
    .where('enabled', '=', true)
    .where((eb) => eb.or([eb('stack', 'is', null), eb('stack', '=', stack)]))
    .orderBy('position')
    .orderBy('id')
    .execute();
  const usable = rows.flatMap(({ name, stack: own, blob_key: key, sha256 }) =>
    key === null || sha256 === null ? [] : [{ name, key, blob: { key, sha256 }, exact: own === stack }],
  );
  if (names.length === 0) {
    if (usable.length === 0) throw new CfError('NoBuildpacksFound', 'There are no buildpacks available');
    return usable;
  }
  return names.map((name) => {
    if (isBuildpackAddress(name)) return { name, key: name, blob: null };
    const found = usable.find((row) => row.name === name && row.exact) ?? usable.find((row) => row.name === name);
    if (!found) throw unprocessable(`Buildpack "${name}" is not available for stack "${stack}"`);
    return found;
  });
}

/** Moves those at and after a position by one, and gives the position that is free then; without one, the end. */
export async function makeRoom(trx: Trx, wanted: number | undefined, moving?: Buildpack): Promise<number> {
  await lockPositions(trx);
  const guid = moving?.guid ?? '';
  const { count } = await trx
    .selectFrom('buildpacks')
    .select(sql<number>`count(*)`.as('count'))
    .where('guid', '!=', guid)
    .executeTakeFirstOrThrow();
  const position = Math.min(wanted ?? (count === 0 ? 1 : count + 1), count + 1);
  await sql`UPDATE buildpacks SET position = ordered.place + (ordered.place >= ${position})::int
    FROM (SELECT guid, row_number() OVER (ORDER BY position, id)::int AS place FROM buildpacks WHERE guid <> ${guid}) AS ordered
    WHERE ordered.guid = buildpacks.guid`.execute(trx);
  return position;
}

/** Positions are changed by one transaction at a time. */
export async function lockPositions(trx: Trx): Promise<void> {
  await sql`LOCK TABLE buildpacks IN SHARE ROW EXCLUSIVE MODE`.execute(trx);
}

/** Those after one that is gone move up. */
export async function closeUp(trx: Trx): Promise<void> {
  await sql`UPDATE buildpacks SET position = ordered.place
    FROM (SELECT guid, row_number() OVER (ORDER BY position, id)::int AS place FROM buildpacks) AS ordered
    WHERE ordered.guid = buildpacks.guid AND buildpacks.position <> ordered.place`.execute(trx);
}
