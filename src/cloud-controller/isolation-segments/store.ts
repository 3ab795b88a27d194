import { type RawBuilder, type Selectable, sql } from 'kysely';
import type { Visible } from '../authorization.ts';
import { type Db, type Locked, lockRow, now, type RowColumns, type Trx } from '../database.ts';
import { isUniqueViolation, notFound, unprocessable } from '../errors.ts';
import { type Guid, guid, newGuid } from '../guid.ts';
import { readAll, SMALL_ROWS_AT_ONCE } from '../list.ts';
import { changedMetadata, type MetadataColumns, type MetadataInput, newMetadata } from '../metadata.ts';

declare module '../database.ts' {
  interface Database {
    isolation_segments: IsolationSegmentTable;
    organization_isolation_segments: OrganizationIsolationSegmentTable;
  }
}

/** A part of the foundation with its own cells. */
export interface IsolationSegmentTable extends RowColumns<Guid<'isolation_segment'>>, MetadataColumns {
  name: string;
}
/** Which organizations may place apps there. */
export interface OrganizationIsolationSegmentTable {
  organization_guid: Guid<'organization'>;
  isolation_segment_guid: Guid<'isolation_segment'>;
}
export type IsolationSegment = Selectable<IsolationSegmentTable>;

/** The segment everybody shares; it has the guid it has everywhere in Cloud Foundry. */
export const SHARED_SEGMENT_GUID = guid<'isolation_segment'>('933b4c58-120b-499a-b85d-4b6fc9e2903b');

export function selectIsolationSegments(db: Db) {
  return db.selectFrom('isolation_segments').selectAll('isolation_segments');
}

/** One of those that a condition leaves, where there is one. */
export async function findIsolationSegment(
  db: Db,
  guid: Guid<'isolation_segment'>,
  seen: RawBuilder<boolean> | null,
): Promise<IsolationSegment | null> {
  const select = selectIsolationSegments(db).where('isolation_segments.guid', '=', guid);
  return (await (seen ? select.where(seen) : select).executeTakeFirst()) ?? null;
}

/** The condition of segments that some of these organizations are entitled to; null where nothing is asked of them. */
export function entitledIn(organizations: Visible): RawBuilder<boolean> | null {
  return organizations.everything ? null : entitledWhere(sql`organization_guid IN ${organizations.guids}`);
}

/** The same of organizations by their guids. */
export function entitledAny(organizationGuids: readonly Guid<'organization'>[]): RawBuilder<boolean> {
  return entitledWhere(sql`organization_guid = ANY(${organizationGuids})`);
}

function entitledWhere(condition: RawBuilder<unknown>): RawBuilder<boolean> {
  return sql<boolean>`isolation_segments.guid IN
    (SELECT isolation_segment_guid FROM organization_isolation_segments WHERE ${condition})`;
}

/** The condition of organizations that are entitled to a segment. */
export function isEntitledTo(segmentGuid: Guid<'isolation_segment'>): RawBuilder<boolean> {
  return sql<boolean>`organizations.guid IN (SELECT organization_guid FROM organization_isolation_segments
    WHERE isolation_segment_guid = ${segmentGuid})`;
}

export async function insertIsolationSegment(
  trx: Trx,
  values: { name: string; metadata?: MetadataInput },
): Promise<IsolationSegment> {
  return naming(() =>
    trx
      .insertInto('isolation_segments')
      .values({ guid: newGuid<'isolation_segment'>(), name: values.name, ...newMetadata(values.metadata) })
      .returningAll()
      .executeTakeFirstOrThrow(),
  );
}

export async function updateIsolationSegment(
  trx: Trx,
  before: Locked<IsolationSegment>,
  changes: { name?: string; metadata?: MetadataInput },
): Promise<IsolationSegment> {
  return naming(() =>
    trx
      .updateTable('isolation_segments')
      .set({ name: changes.name, ...changedMetadata(before, changes.metadata), updated_at: now })
      .where('guid', '=', before.guid)
      .returningAll()
      .executeTakeFirstOrThrow(),
  );
}

export async function deleteIsolationSegment(trx: Trx, guid: Guid<'isolation_segment'>): Promise<void> {
  await trx.deleteFrom('isolation_segments').where('guid', '=', guid).execute();
}

/** Holds who is entitled to a segment and what is assigned to it as it is, until the transaction ends. */
export async function lockIsolationSegment(
  trx: Trx,
  guid: Guid<'isolation_segment'>,
): Promise<Locked<IsolationSegment>> {
  const segment = await lockRow(trx, 'isolation_segments', guid, notFound('Isolation segment'));
  if (guid === SHARED_SEGMENT_GUID) throw unprocessable('Cannot update or delete the shared Isolation Segment');
  return segment;
}

/** Organizations entitled to a segment, in the order they were made. */
export async function entitledOrganizations(
  db: Db,
  segmentGuid: Guid<'isolation_segment'>,
): Promise<Guid<'organization'>[]> {
  const rows = await readAll(
    db
      .selectFrom('organization_isolation_segments')
      .innerJoin('organizations', 'organizations.guid', 'organization_isolation_segments.organization_guid')
      .select('organizations.guid')
      .where('isolation_segment_guid', '=', segmentGuid)
      .orderBy('organizations.id'),
    SMALL_ROWS_AT_ONCE,
  );
  return rows.map((row) => row.guid);
}

/** Gives whether the organization was not entitled before. */
export async function entitle(
  trx: Trx,
  segmentGuid: Guid<'isolation_segment'>,
  organizationGuid: Guid<'organization'>,
): Promise<boolean> {
  const entitled = await trx
    .insertInto('organization_isolation_segments')
    .values({ organization_guid: organizationGuid, isolation_segment_guid: segmentGuid })
    .onConflict((conflict) => conflict.doNothing())
    .returning('organization_guid')
    .executeTakeFirst();
  return entitled !== undefined;
}

/** False where the organization was not entitled. */
export async function revoke(
  trx: Trx,
  segmentGuid: Guid<'isolation_segment'>,
  organizationGuid: Guid<'organization'>,
): Promise<boolean> {
  const revoked = await trx
    .deleteFrom('organization_isolation_segments')
    .where('organization_guid', '=', organizationGuid)
    .where('isolation_segment_guid', '=', segmentGuid)
    .returning('organization_guid')
    .executeTakeFirst();
  return revoked !== undefined;
}

/** Is it the default of this organization, or of a space there? */
export async function isAssigned(
  trx: Trx,
  segmentGuid: Guid<'isolation_segment'>,
  organizationGuid: Guid<'organization'>,
): Promise<boolean> {
  const space = await trx
    .selectFrom('spaces')
    .select('guid')
    .where('organization_guid', '=', organizationGuid)
    .where('isolation_segment_guid', '=', segmentGuid)
    .executeTakeFirst();
  const organization = await trx
    .selectFrom('organizations')
    .select('guid')
    .where('guid', '=', organizationGuid)
    .where('default_isolation_segment_guid', '=', segmentGuid)
    .executeTakeFirst();
  return space !== undefined || organization !== undefined;
}

/** Of the spaces that are assigned to a segment those that are seen. */
export async function assignedSpaces(
  db: Db,
  segmentGuid: Guid<'isolation_segment'>,
  seen: Visible,
): Promise<Guid<'space'>[]> {
  const select = db.selectFrom('spaces').select('guid').where('isolation_segment_guid', '=', segmentGuid);
  const narrowed = seen.everything ? select : select.where(sql<boolean>`guid IN ${seen.guids}`);
  return (await readAll(narrowed, SMALL_ROWS_AT_ONCE)).map((row) => row.guid);
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
