import { sql } from 'kysely';
import { recordEvent } from '../audit-events/store.ts';
import { visibleSpaces } from '../authorization.ts';
import type { Context } from '../context.ts';
import { type Db, now } from '../database.ts';
import { notFound, unprocessable } from '../errors.ts';
import type { Job } from '../jobs/store.ts';
import { listView, lowered, narrow, page } from '../list.ts';
import { type Call, created, noContent, ok, operation } from '../operation.ts';
import { findOrganization } from '../organizations/store.ts';
import { GLOBAL_ROLES, type OperationId, SPACE_ROLES } from '../permissions.ts';
import { guidsOf, ToMany, toManyView } from '../relationships.ts';
import { findSpace, findSpaces } from '../spaces/store.ts';
import { CreateSpaceQuota, UpdateSpaceQuota } from './schema.ts';
import { findSpaceQuota, insertSpaceQuota, type SpaceQuota, selectSpaceQuotas, updateSpaceQuota } from './store.ts';
import { spaceQuotaView } from './view.ts';

/** The quota a path names. Those in a space see it only where it is applied to their space. */
async function authorizedQuota<Id extends OperationId>(call: Call<Id, unknown>, guid: string): Promise<SpaceQuota> {
  const { db } = call.context;
  const missing = notFound('Space quota');
  const quota = await findSpaceQuota(db, guid);
  if (!quota) throw missing;
  const organization = { guid: quota.organization_guid, suspended: quota.organization_suspended };
  const held = await call.authorize({ organization }, missing);
  const seesAll = ([...GLOBAL_ROLES, 'organization_manager'] as const).some((role) => held.has(role));
  if (seesAll) return quota;
  const visible = await spaceFilter(db, call, quota.space_guids);
  if (!quota.space_guids.some(visible)) throw missing;
  return quota;
}

/** Tells which of these spaces the caller may know of. */
async function spaceFilter(
  db: Db,
  call: Call<OperationId, unknown>,
  guids: readonly string[],
): Promise<(guid: string) => boolean> {
  const visible = visibleSpaces(call.caller, [
    'admin',
    'admin_read_only',
    'global_auditor',
    'organization_manager',
    ...SPACE_ROLES,
  ]);
  if (visible.everything) return () => true;
  const rows = await db
    .selectFrom('spaces')
    .select('guid')
    .where(sql<boolean>`guid = ANY(${guids})`)
    .where(sql<boolean>`guid IN ${visible.guids}`)
    .execute();
  const seen = new Set(rows.map((row) => row.guid));
  return (guid) => seen.has(guid);
}

export const spaceQuotaOperations = [
  operation({
    id: 'GET /v3/space_quotas',
    query: { list: true, filters: ['names', 'organization_guids', 'space_guids'], orderBy: ['name'] },
    async run(call) {
      const { db, links } = call.context;
      let select = narrow(selectSpaceQuotas(db), 'space_quotas', call.query);
      const visible = call.visibleSpaces();
      if (!visible.everything) {
        select = select.where(
          sql<boolean>`(space_quotas.guid IN (SELECT space_quota_guid FROM spaces WHERE guid IN ${visible.guids})
            OR space_quotas.organization_guid IN (SELECT organization_guid FROM roles
              WHERE user_guid = ${call.caller.userGuid} AND type = 'organization_manager'))`,
        );
      }
      const { filters } = call.query;
      const names = filters.get('names');
      const organizations = filters.get('organization_guids');
      const spaces = filters.get('space_guids');
      if (names) select = select.where(sql<boolean>`lower(space_quotas.name) = ANY(${lowered(names)})`);
      if (organizations) select = select.where('space_quotas.organization_guid', 'in', organizations);
      if (spaces) {
        select = select.where(
          sql<boolean>`space_quotas.guid IN (SELECT space_quota_guid FROM spaces WHERE guid = ANY(${spaces}))`,
        );
      }
      const found = await page(db, select, 'space_quotas', call.query);
      const filter = await spaceFilter(
        db,
        call,
        found.rows.flatMap((row) => row.space_guids),
      );
      return ok(listView(links, '/v3/space_quotas', call.query, found, (row) => spaceQuotaView(links, row, filter)));
    },
  }),

  operation({
    id: 'POST /v3/space_quotas',
    body: CreateSpaceQuota,
    async run(call) {
      const { db, links } = call.context;
      const { organization, spaces } = call.body.relationships;
      const guid = organization.data.guid;
      const invisible = unprocessable(
        `Organization with guid '${guid}' does not exist, or you do not have access to it.`,
      );
      const owner = await findOrganization(db, guid);
      if (!owner) throw invisible;
      await call.authorize({ organization: owner }, invisible);
      const quotaGuid = await db.transaction().execute(async (trx) => {
        const made = await insertSpaceQuota(trx, call.body.name, guid, call.body);
        await apply(trx, made, guid, guidsOf(spaces ?? { data: [] }));
        await recordEvent(
          trx,
          event(call.actor, 'create', { guid: made, name: call.body.name, organization_guid: guid }, call.body),
        );
        return made;
      });
      return created(spaceQuotaView(links, await existing(db, quotaGuid), () => true));
    },
  }),

  operation({
    id: 'GET /v3/space_quotas/:guid',
    async run(call) {
      const quota = await authorizedQuota(call, call.params.guid);
      const filter = await spaceFilter(call.context.db, call, quota.space_guids);
      return ok(spaceQuotaView(call.context.links, quota, filter));
    },
  }),

  operation({
    id: 'PATCH /v3/space_quotas/:guid',
    body: UpdateSpaceQuota,
    async run(call) {
      const { db, links } = call.context;
      const quota = await authorizedQuota(call, call.params.guid);
      await db.transaction().execute(async (trx) => {
        await updateSpaceQuota(trx, quota, call.body);
        await recordEvent(trx, event(call.actor, 'update', quota, call.body));
      });
      return ok(spaceQuotaView(links, await existing(db, quota.guid), () => true));
    },
  }),

  operation({
    id: 'DELETE /v3/space_quotas/:guid',
    async run(call) {
      const quota = await authorizedQuota(call, call.params.guid);
      if (quota.space_guids.length > 0) {
        throw unprocessable(
          'This quota is applied to one or more spaces. Remove this quota from all spaces before deleting.',
        );
      }
      const resource = { type: 'space_quota', guid: quota.guid };
      return call.accepted(
        await call.context.jobs.enqueue({ operation: 'space_quota.delete', actor: call.actor, resource }),
      );
    },
  }),

  operation({
    id: 'POST /v3/space_quotas/:guid/relationships/spaces',
    body: ToMany,
    async run(call) {
      const { db, links } = call.context;
      const quota = await authorizedQuota(call, call.params.guid);
      await db.transaction().execute(async (trx) => {
        await apply(trx, quota.guid, quota.organization_guid, guidsOf(call.body));
        await recordEvent(trx, event(call.actor, 'apply', quota, call.body));
      });
      const path = `/v3/space_quotas/${quota.guid}/relationships/spaces`;
      return ok(toManyView(links, path, (await existing(db, quota.guid)).space_guids));
    },
  }),

  operation({
    id: 'DELETE /v3/space_quotas/:guid/relationships/spaces/:space_guid',
    async run(call) {
      const { db } = call.context;
      const quota = await authorizedQuota(call, call.params.guid);
      const space = await findSpace(db, call.params.space_guid);
      if (!space || space.space_quota_guid !== quota.guid) {
        throw unprocessable(
          `Unable to remove quota from space with guid '${call.params.space_guid}'. Ensure the space quota is applied to this space.`,
        );
      }
      await db.transaction().execute(async (trx) => {
        await trx
          .updateTable('spaces')
          .set({ space_quota_guid: null, updated_at: now })
          .where('guid', '=', space.guid)
          .execute();
        await recordEvent(trx, event(call.actor, 'remove', quota, { space_guid: space.guid }));
      });
      return noContent();
    },
  }),
];

/** Job "space_quota.delete". */
export async function deleteSpaceQuotaJob(context: Context, job: Job): Promise<undefined> {
  const quota = await findSpaceQuota(context.db, job.resourceGuid ?? '');
  if (!quota) return;
  await context.db.transaction().execute(async (trx) => {
    await trx.deleteFrom('space_quotas').where('guid', '=', quota.guid).execute();
    await recordEvent(trx, event(job.actor, 'delete', quota, {}));
  });
}

async function existing(db: Db, guid: string): Promise<SpaceQuota> {
  const quota = await findSpaceQuota(db, guid);
  if (!quota) throw notFound('Space quota');
  return quota;
}

async function apply(db: Db, quotaGuid: string, organizationGuid: string, guids: readonly string[]): Promise<void> {
  const found = await findSpaces(db, guids);
  const missing = guids.filter((guid) => !found.some((space) => space.guid === guid));
  if (missing.length > 0) {
    throw unprocessable(
      `Spaces with guids ["${missing.join('", "')}"] do not exist, or you do not have access to them.`,
    );
  }
  if (found.some((space) => space.organization_guid !== organizationGuid)) {
    throw unprocessable('Space quotas cannot be applied outside of their owning organization.');
  }
  if (guids.length === 0) return;
  await db
    .updateTable('spaces')
    .set({ space_quota_guid: quotaGuid, updated_at: now })
    .where('guid', 'in', guids)
    .execute();
}

function event(
  actor: Job['actor'],
  verb: string,
  quota: { guid: string; name: string; organization_guid: string },
  request: object,
) {
  return {
    type: `audit.space_quota.${verb}`,
    actor,
    target: { guid: quota.guid, type: 'space_quota', name: quota.name },
    organizationGuid: quota.organization_guid,
    data: { request: { ...request } },
  };
}
