import { sql } from 'kysely';
import { type Caller, visibleOrganizations } from '../authorization.ts';
import type { Db } from '../database.ts';
import type { Guid } from '../guid.ts';
import { ALL_ROLES } from '../role-names.ts';

/** Tells which organizations the caller may know of. */
export async function organizationFilter(db: Db, caller: Caller): Promise<(guid: Guid<'organization'>) => boolean> {
  const visible = visibleOrganizations(caller, ALL_ROLES);
  if (visible.everything) return () => true;
  const { rows } = await sql<{ organization_guid: Guid<'organization'> }>`
    SELECT organization_guid FROM ${visible.guids} AS seen`.execute(db);
  const seen = new Set(rows.map((row) => row.organization_guid));
  return (guid) => seen.has(guid);
}
