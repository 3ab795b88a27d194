import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Db } from '../database.ts';
import { unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { findOrganizations } from '../organizations/store.ts';
import { segmentEvent } from './events.ts';
import { entitle, isAssigned, lockIsolationSegment, revoke } from './store.ts';

/** Lets organizations place apps in a segment. Throws UnprocessableEntity where one of them is not there. */
export async function entitleOrganizations(
  db: Db,
  actor: Actor,
  segmentGuid: Guid<'isolation_segment'>,
  organizationGuids: readonly Guid<'organization'>[],
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const segment = await lockIsolationSegment(trx, segmentGuid);
    const found = await findOrganizations(trx, organizationGuids);
    const there = new Set(found.map((row) => row.guid));
    const missing = organizationGuids.filter((guid) => !there.has(guid));
    if (missing.length > 0) {
      throw unprocessable(
        `Unable to entitle organizations ['${missing.join("', '")}'] for the isolation segment. Ensure the organizations exist.`,
      );
    }
    for (const { guid } of found) {
      const isNew = await entitle(trx, segment.guid, guid);
      if (isNew)
        await recordEvent(trx, segmentEvent('audit.isolation_segment.entitle', actor, segment, { request: {} }, guid));
    }
  });
}

/** Ends it; fine where it was not. Throws UnprocessableEntity while the organization or a space of it is assigned to the segment. */
export async function revokeOrganization(
  db: Db,
  actor: Actor,
  segmentGuid: Guid<'isolation_segment'>,
  organizationGuid: Guid<'organization'>,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const segment = await lockIsolationSegment(trx, segmentGuid);
    if (await isAssigned(trx, segment.guid, organizationGuid)) {
      throw unprocessable('Please delete the Space associations for your Isolation Segment.');
    }
    const wasEntitled = await revoke(trx, segment.guid, organizationGuid);
    if (wasEntitled)
      await recordEvent(
        trx,
        segmentEvent('audit.isolation_segment.revoke', actor, segment, { request: {} }, organizationGuid),
      );
  });
}
