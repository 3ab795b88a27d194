import { type RawBuilder, sql } from 'kysely';
import { type GuidRange, groupNameOf, isInGroup, isInRange } from '../../contracts/lrp-fingerprint.ts';

/** Apps that are looked at together: these, or those of a group that is compared as one. */
export type Apps = { readonly guids: readonly string[] } | { readonly group: string };

/** Is an app among these? */
export function isAmong(appGuid: string, apps: Apps): boolean {
  return 'guids' in apps ? apps.guids.includes(appGuid) : groupNameOf(appGuid) === apps.group;
}

export type Within = Apps | GuidRange;

/** The condition of rows of these apps, by an index on the column. */
export function isWithin(appGuid: string, within: Within): RawBuilder<boolean> {
  if ('guids' in within) return sql<boolean>`${sql.ref(appGuid)} = ANY(${within.guids})`;
  if ('group' in within) return isInGroup(sql.ref<string>(appGuid), within.group);
  return isInRange(sql.ref<string>(appGuid), within);
}
