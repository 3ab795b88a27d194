import { sql } from 'kysely';
import type { Db } from '../database.ts';
import type { Guid } from '../guid.ts';
import { SHARED_SEGMENT_GUID } from './store.ts';

/**
 * The placement tags of everything that runs for a space, staging and tasks included (ISO-03, ISO-05): the name of the
 * space's isolation segment, or of its organization's default one. In the shared segment there are none.
 */
export async function placementTags(db: Db, spaceGuid: Guid<'space'>): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    SELECT segment.name FROM spaces space
    JOIN organizations organization ON organization.guid = space.organization_guid
    JOIN isolation_segments segment
      ON segment.guid = coalesce(space.isolation_segment_guid, organization.default_isolation_segment_guid)
    WHERE space.guid = ${spaceGuid} AND segment.guid <> ${SHARED_SEGMENT_GUID}`.execute(db);
  return rows.map((row) => row.name);
}
