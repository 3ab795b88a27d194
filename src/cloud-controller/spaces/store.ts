import { type Selectable, sql } from 'kysely';
import type { Place } from '../authorization.ts';
import { type Db, lockRow, now, type RowColumns, type Trx } from '../database.ts';
import { isUniqueViolation, notFound, unprocessable } from '../errors.ts';
import { type Guid, newGuid } from '../guid.ts';
import { changedMetadata, type MetadataColumns, type MetadataInput, newMetadata } from '../metadata.ts';

declare module '../database.ts' {
  interface Database {
    spaces: SpaceTable;
  }
}

export interface SpaceTable extends RowColumns<Guid<'space'>>, MetadataColumns {
  name: string;
  organization_guid: Guid<'organization'>;
  space_quota_guid: Guid<'space_quota'> | null;
  isolation_segment_guid: Guid<'isolation_segment'> | null;
  allow_ssh: boolean;
}

/** A space and what is needed of its organization to decide who may do what in it. */
export interface Space extends Selectable<SpaceTable> {
  organization_name: string;
  organization_suspended: boolean;
}

/** Where a space lies, for the permission table. */
export function placeOf(space: Pick<Space, 'guid' | 'organization_guid' | 'organization_suspended'>): Place {
  return {
    organization: { guid: space.organization_guid, suspended: space.organization_suspended },
    space: { guid: space.guid },
  };
}

export function selectSpaces(db: Db) {
  return db
    .selectFrom('spaces')
    .innerJoin('organizations', 'organizations.guid', 'spaces.organization_guid')
    .selectAll('spaces')
    .select(['organizations.name as organization_name', 'organizations.suspended as organization_suspended']);
}

export async function findSpace(db: Db, guid: Guid<'space'>): Promise<Space | null> {
  return (await selectSpaces(db).where('spaces.guid', '=', guid).executeTakeFirst()) ?? null;
}

export async function findSpaces(db: Db, guids: readonly Guid<'space'>[]): Promise<Space[]> {
  return guids.length === 0 ? [] : selectSpaces(db).where('spaces.guid', 'in', guids).orderBy('spaces.id').execute();
}

/** Where these spaces lie, of those that are there. */
export async function findPlaces(
  db: Db,
  guids: readonly Guid<'space'>[],
): Promise<Pick<Space, 'guid' | 'organization_guid' | 'organization_suspended'>[]> {
  const { rows } = await sql<Pick<Space, 'guid' | 'organization_guid' | 'organization_suspended'>>`
    SELECT spaces.guid, organization_guid, organizations.suspended AS organization_suspended
    FROM spaces JOIN organizations ON organizations.guid = organization_guid
    WHERE spaces.guid = ANY(${guids})`.execute(db);
  return rows;
}

/** Throws in the words the CLI looks for where the organization has one of that name. */
export async function insertSpace(
  trx: Trx,
  values: { name: string; organizationGuid: Guid<'organization'>; metadata: MetadataInput | undefined },
): Promise<Space> {
  const guid = newGuid<'space'>();
  try {
    await trx
      .insertInto('spaces')
      .values({
        guid,
        name: values.name,
        organization_guid: values.organizationGuid,
        space_quota_guid: null,
        isolation_segment_guid: null,
        allow_ssh: true,
        ...newMetadata(values.metadata),
      })
      .execute();
  } catch (error) {
    throw isUniqueViolation(error, 'spaces_name_key') ? unprocessable('Name must be unique per organization') : error;
  }
  return written(trx, guid);
}

export async function updateSpace(
  trx: Trx,
  space: Pick<Space, 'guid' | 'organization_name'>,
  changes: {
    name?: string;
    metadata?: MetadataInput;
    allowSsh?: boolean;
    isolationSegmentGuid?: Guid<'isolation_segment'> | null;
  },
): Promise<Space> {
  const before = await lockRow(trx, 'spaces', space.guid, notFound('Space'));
  const { name } = changes;
  try {
    await trx
      .updateTable('spaces')
      .set({
        name,
        allow_ssh: changes.allowSsh,
        isolation_segment_guid: changes.isolationSegmentGuid,
        ...changedMetadata(before, changes.metadata),
        updated_at: now,
      })
      .where('guid', '=', space.guid)
      .execute();
  } catch (error) {
    if (!isUniqueViolation(error, 'spaces_name_key')) throw error;
    throw unprocessable(
      `Organization '${space.organization_name}' already contains a space with name '${name ?? before.name}'.`,
    );
  }
  return written(trx, space.guid);
}

async function written(trx: Trx, guid: Guid<'space'>): Promise<Space> {
  const space = await findSpace(trx, guid);
  if (!space) throw notFound('Space');
  return space;
}
