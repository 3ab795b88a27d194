import { sql } from 'kysely';
import { type Caller, type Visible, visibleSpaces } from '../authorization.ts';
import type { Db } from '../database.ts';
import type { Guid } from '../guid.ts';
import { readAll, SMALL_ROWS_AT_ONCE } from '../list.ts';
import { SPACE as SEES_SPACE } from '../permissions.ts';

/** The spaces a caller may know of. */
export function seenSpaces(caller: Caller): Visible {
  return visibleSpaces(caller, SEES_SPACE);
}

/** Tells which of these spaces the caller may know of. */
export async function spaceFilter(
  db: Db,
  caller: Caller,
  guids: readonly Guid<'space'>[],
): Promise<(guid: Guid<'space'>) => boolean> {
  const visible = seenSpaces(caller);
  if (visible.everything) return () => true;
  const rows = await readAll(
    db.selectFrom('spaces').select('guid').where(sql<boolean>`guid = ANY(${guids}) AND guid IN ${visible.guids}`),
    SMALL_ROWS_AT_ONCE,
  );
  const seen = new Set(rows.map((row) => row.guid));
  return (guid) => seen.has(guid);
}
