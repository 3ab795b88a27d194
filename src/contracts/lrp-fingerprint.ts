import { type RawBuilder, sql } from 'kysely';

/** Part of all guids there can be: from one on, up to another. "" as the beginning has them all; without an end, to the last. */
export interface GuidRange {
  readonly from: string;
  readonly before?: string;
}

const HEX = [...'0123456789abcdef'];

/** All guids of apps, and whatever else stands in the place of one, in parts of a size for one question. */
export const ALL_GUIDS: readonly GuidRange[] = HEX.map((digit, n) => ({
  from: n === 0 ? '' : digit,
  ...(n + 1 < HEX.length ? { before: HEX[n + 1]! } : {}),
}));

const GROUP_LETTERS = 3;

/** What the LRPs of an app are compared together with: those of apps whose guids begin alike. An SQL expression. */
export function groupOf(appGuid: RawBuilder<string>): RawBuilder<string> {
  return sql<string>`left(${appGuid}, ${sql.lit(GROUP_LETTERS)})`;
}

/** The same of a guid that is at hand. */
export function groupNameOf(appGuid: string): string {
  return appGuid.slice(0, GROUP_LETTERS);
}

/** The condition of rows in a range, by an index on the same expression. Guids are ordered by their bytes. */
export function isInRange(appGuid: RawBuilder<string>, { from, before }: GuidRange): RawBuilder<boolean> {
  const end = before === undefined ? sql`` : sql`AND ${appGuid} < ${before}`;
  return sql<boolean>`(${appGuid} >= ${from} ${end})`;
}

/** The condition of rows of a group, likewise. */
export function isInGroup(appGuid: RawBuilder<string>, group: string): RawBuilder<boolean> {
  return sql<boolean>`(${isInRange(appGuid, { from: group, before: `${group}\u{10ffff}` })} AND ${groupOf(appGuid)} = ${group})`;
}

/**
 * The fingerprint of the LRPs of a group, in whatever order: 64 bits as hexadecimal digits. An SQL aggregate. Who keeps the same
 * columns for the same LRPs makes the same of it, so that only groups that differ are read.
 */
export function fingerprintOf(lrp: {
  guid: RawBuilder<unknown>;
  instances: RawBuilder<unknown>;
  annotation: RawBuilder<unknown>;
  appName: RawBuilder<unknown>;
  spaceName: RawBuilder<unknown>;
  organizationName: RawBuilder<unknown>;
}): RawBuilder<string> {
  const { guid, instances, annotation, appName, spaceName, organizationName } = lrp;
  const text = sql`jsonb_build_array(${guid}, ${instances}, ${annotation}, ${appName}, ${spaceName}, ${organizationName})::text`;
  return sql<string>`to_hex(bit_xor(('x' || left(md5(${text}), 16))::bit(64)::bigint))`;
}
