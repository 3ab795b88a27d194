import { type Selectable, sql } from 'kysely';
import type { Visible } from '../authorization.ts';
import { type Db, now, type RowColumns } from '../database.ts';
import { isUniqueViolation, unprocessable } from '../errors.ts';
import { lowered, narrow, type Page, page } from '../list.ts';
import { type MetadataColumns, type MetadataInput, mergeMetadata, metadataColumns, newMetadata } from '../metadata.ts';
import type { Query, QueryRules } from '../query.ts';

/** A part of the foundation with its own cells. */
export interface IsolationSegmentTable extends RowColumns, MetadataColumns {
  name: string;
}
/** Which organizations may place apps there. */
export interface OrganizationIsolationSegmentTable {
  organization_guid: string;
  isolation_segment_guid: string;
}
export type IsolationSegment = Selectable<IsolationSegmentTable>;

/** The segment everybody shares; it has the guid it has everywhere in Cloud Foundry. */
export const SHARED_SEGMENT_GUID = '933b4c58-120b-499a-b85d-4b6fc9e2903b';

export const isolationSegmentQuery = {
  list: true,
  labels: true,
  orderBy: ['name'],
  filters: ['names', 'organization_guids'],
} as const satisfies QueryRules;

export async function findIsolationSegment(db: Db, guid: string): Promise<IsolationSegment | null> {
  return (await db.selectFrom('isolation_segments').selectAll().where('guid', '=', guid).executeTakeFirst()) ?? null;
}

/** Those the organizations are entitled to; everybody sees the shared one. */
export async function listIsolationSegments(db: Db, query: Query, visible: Visible): Promise<Page<IsolationSegment>> {
  const select = db.selectFrom('isolation_segments').selectAll('isolation_segments');
  let narrowed = narrow(select, 'isolation_segments', query);
  if (!visible.everything) narrowed = narrowed.where(entitled(visible));
  const names = query.filters.get('names');
  const organizations = query.filters.get('organization_guids');
  if (names) narrowed = narrowed.where(sql<boolean>`lower(isolation_segments.name) = ANY(${lowered(names)})`);
  if (organizations) {
    narrowed = narrowed.where(
      sql<boolean>`isolation_segments.guid IN (SELECT isolation_segment_guid FROM organization_isolation_segments
        WHERE organization_guid = ANY(${organizations}))`,
    );
  }
  return page(db, narrowed, 'isolation_segments', query);
}

export async function isVisibleSegment(db: Db, guid: string, visible: Visible): Promise<boolean> {
  if (visible.everything) return true;
  const row = await db
    .selectFrom('isolation_segments')
    .select('guid')
    .where('guid', '=', guid)
    .where(entitled(visible))
    .executeTakeFirst();
  return row !== undefined;
}

function entitled(visible: Extract<Visible, { everything: false }>) {
  return sql<boolean>`(isolation_segments.guid = ${SHARED_SEGMENT_GUID} OR isolation_segments.guid IN
    (SELECT isolation_segment_guid FROM organization_isolation_segments WHERE organization_guid IN ${visible.guids}))`;
}

export async function insertIsolationSegment(
  db: Db,
  values: { name: string; metadata?: MetadataInput },
): Promise<IsolationSegment> {
  return naming(() =>
    db
      .insertInto('isolation_segments')
      .values({ guid: crypto.randomUUID(), name: values.name, ...newMetadata(values.metadata) })
      .returningAll()
      .executeTakeFirstOrThrow(),
  );
}

export async function updateIsolationSegment(
  db: Db,
  segment: IsolationSegment,
  changes: { name?: string; metadata?: MetadataInput },
): Promise<IsolationSegment> {
  return naming(() =>
    db
      .updateTable('isolation_segments')
      .set({
        name: changes.name ?? segment.name,
        ...metadataColumns(mergeMetadata(segment, changes.metadata)),
        updated_at: now,
      })
      .where('guid', '=', segment.guid)
      .returningAll()
      .executeTakeFirstOrThrow(),
  );
}

/** Organizations entitled to a segment, in the order they were made. */
export async function entitledOrganizations(db: Db, segmentGuid: string): Promise<string[]> {
  const rows = await db
    .selectFrom('organization_isolation_segments')
    .innerJoin('organizations', 'organizations.guid', 'organization_isolation_segments.organization_guid')
    .select('organizations.guid')
    .where('isolation_segment_guid', '=', segmentGuid)
    .orderBy('organizations.id')
    .execute();
  return rows.map((row) => row.guid);
}

async function naming(body: () => Promise<IsolationSegment>): Promise<IsolationSegment> {
  try {
    return await body();
  } catch (error) {
    throw isUniqueViolation(error, 'isolation_segments_name_key')
      ? unprocessable('Isolation Segment names are case insensitive and must be unique')
      : error;
  }
}
