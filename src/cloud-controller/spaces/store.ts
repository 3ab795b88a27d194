import { type Selectable, type SelectQueryBuilder, sql } from 'kysely';
import type { Place, Visible } from '../authorization.ts';
import { type Database, type Db, now, type RowColumns } from '../database.ts';
import { isUniqueViolation, unprocessable } from '../errors.ts';
import { lowered, narrow, type Page, page } from '../list.ts';
import { type MetadataColumns, type MetadataInput, mergeMetadata, metadataColumns, newMetadata } from '../metadata.ts';
import type { Query, QueryRules } from '../query.ts';

export interface SpaceTable extends RowColumns, MetadataColumns {
  name: string;
  organization_guid: string;
  space_quota_guid: string | null;
  isolation_segment_guid: string | null;
  allow_ssh: boolean;
}

/** A space and what is needed of its organization to decide who may do what in it. */
export interface Space extends Selectable<SpaceTable> {
  organization_name: string;
  organization_suspended: boolean;
}

/** Where a space lies, for `call.authorize`. */
export function placeOf(space: Pick<Space, 'guid' | 'organization_guid' | 'organization_suspended'>): Place {
  return {
    organization: { guid: space.organization_guid, suspended: space.organization_suspended },
    space: { guid: space.guid },
  };
}

export const spaceQuery = {
  list: true,
  labels: true,
  orderBy: ['name'],
  filters: ['names', 'organization_guids'],
  include: ['org', 'organization'],
} as const satisfies QueryRules;

function select(db: Db) {
  return db
    .selectFrom('spaces')
    .innerJoin('organizations', 'organizations.guid', 'spaces.organization_guid')
    .selectAll('spaces')
    .select(['organizations.name as organization_name', 'organizations.suspended as organization_suspended']);
}

export async function findSpace(db: Db, guid: string): Promise<Space | null> {
  return (await select(db).where('spaces.guid', '=', guid).executeTakeFirst()) ?? null;
}

export async function findSpaces(db: Db, guids: readonly string[]): Promise<Space[]> {
  return guids.length === 0 ? [] : select(db).where('spaces.guid', 'in', guids).orderBy('spaces.id').execute();
}

export async function listSpaces(db: Db, query: Query, visible: Visible): Promise<Page<Space>> {
  let narrowed: SelectQueryBuilder<Database, 'spaces' | 'organizations', Space> = narrow(select(db), 'spaces', query, {
    column: 'spaces.guid',
    to: visible,
  });
  const names = query.filters.get('names');
  const organizations = query.filters.get('organization_guids');
  if (names) narrowed = narrowed.where(sql<boolean>`lower(spaces.name) = ANY(${lowered(names)})`);
  if (organizations) narrowed = narrowed.where('spaces.organization_guid', 'in', organizations);
  return page(db, narrowed, 'spaces', query);
}

/** Gives the guid. Throws in the words the CLI looks for where the organization has one of that name. */
export async function insertSpace(
  db: Db,
  values: { name: string; organizationGuid: string; metadata?: MetadataInput },
): Promise<string> {
  const guid = crypto.randomUUID();
  try {
    await db
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
  return guid;
}

export async function updateSpace(
  db: Db,
  space: Space,
  changes: { name?: string; metadata?: MetadataInput; allowSsh?: boolean; isolationSegmentGuid?: string | null },
): Promise<void> {
  const name = changes.name ?? space.name;
  try {
    await db
      .updateTable('spaces')
      .set({
        name,
        allow_ssh: changes.allowSsh ?? space.allow_ssh,
        isolation_segment_guid:
          changes.isolationSegmentGuid === undefined ? space.isolation_segment_guid : changes.isolationSegmentGuid,
        ...metadataColumns(mergeMetadata(space, changes.metadata)),
        updated_at: now,
      })
      .where('guid', '=', space.guid)
      .execute();
  } catch (error) {
    if (!isUniqueViolation(error, 'spaces_name_key')) throw error;
    throw unprocessable(`Organization '${space.organization_name}' already contains a space with name '${name}'.`);
  }
}
