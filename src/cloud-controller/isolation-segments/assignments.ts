import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import { type Db, lockRow, type Trx } from '../database.ts';
import { unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { organizationEvent } from '../organizations/events.ts';
import { type Organization, updateOrganization } from '../organizations/store.ts';
import { spaceEvent } from '../spaces/events.ts';
import { type Space, updateSpace } from '../spaces/store.ts';
import { entitledOrganizations } from './store.ts';

/** Where apps of an organization go whose space says nothing; null for the shared segment. Throws UnprocessableEntity where it is not entitled. */
export async function assignToOrganization(
  db: Db,
  actor: Actor,
  organization: Organization,
  segmentGuid: Guid<'isolation_segment'> | null,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await checkEntitled(trx, organization.guid, segmentGuid, 'the organization');
    await updateOrganization(trx, organization.guid, { defaultIsolationSegmentGuid: segmentGuid });
    const relationships = { default_isolation_segment: { data: referenceTo(segmentGuid) } };
    await recordEvent(
      trx,
      organizationEvent('audit.organization.update', actor, organization, { request: { relationships } }),
    );
  });
}

/** Where apps of a space go; null for where its organization says. Throws UnprocessableEntity where that is not entitled. */
export async function assignToSpace(
  db: Db,
  actor: Actor,
  space: Space,
  segmentGuid: Guid<'isolation_segment'> | null,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await checkEntitled(trx, space.organization_guid, segmentGuid, 'the organization that this space belongs to');
    await updateSpace(trx, space, { isolationSegmentGuid: segmentGuid });
    const relationships = { isolation_segment: { data: referenceTo(segmentGuid) } };
    await recordEvent(trx, spaceEvent('audit.space.update', actor, space, { request: { relationships } }));
  });
}

/** Takes the segment's lock: who is entitled stays so until what is assigned is committed. */
async function checkEntitled(
  trx: Trx,
  organizationGuid: Guid<'organization'>,
  segmentGuid: Guid<'isolation_segment'> | null,
  whom: string,
): Promise<void> {
  if (segmentGuid === null) return;
  const invalid = unprocessable(
    `Unable to assign isolation segment with guid '${segmentGuid}'. Ensure it has been entitled to ${whom}.`,
  );
  await lockRow(trx, 'isolation_segments', segmentGuid, invalid);
  if (!(await entitledOrganizations(trx, segmentGuid)).includes(organizationGuid)) throw invalid;
}

function referenceTo(guid: Guid<'isolation_segment'> | null) {
  return guid === null ? null : { guid };
}
