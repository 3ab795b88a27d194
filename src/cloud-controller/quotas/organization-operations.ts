import { sql } from 'kysely';
import { recordEvent } from '../audit-events/store.ts';
import type { Context } from '../context.ts';
import { type Db, now } from '../database.ts';
import { organizationFilter } from '../domains/access.ts';
import { notFound, unprocessable } from '../errors.ts';
import type { Job } from '../jobs/store.ts';
import { listView, lowered, narrow, page } from '../list.ts';
import { created, ok, operation } from '../operation.ts';
import { findOrganizations } from '../organizations/store.ts';
import { guidsOf, ToMany, toManyView } from '../relationships.ts';
import { CreateOrganizationQuota, UpdateOrganizationQuota } from './schema.ts';
import {
  findOrganizationQuota,
  insertOrganizationQuota,
  type OrganizationQuota,
  selectOrganizationQuotas,
  updateOrganizationQuota,
} from './store.ts';
import { organizationQuotaView } from './view.ts';

export const organizationQuotaOperations = [
  operation({
    id: 'GET /v3/organization_quotas',
    query: { list: true, filters: ['names', 'organization_guids'], orderBy: ['name'] },
    async run(call) {
      const { db, links } = call.context;
      let select = narrow(selectOrganizationQuotas(db), 'organization_quotas', call.query);
      const names = call.query.filters.get('names');
      const organizations = call.query.filters.get('organization_guids');
      const visible = await organizationFilter(db, call.caller);
      if (names) select = select.where(sql<boolean>`lower(organization_quotas.name) = ANY(${lowered(names)})`);
      if (organizations) {
        const seen = organizations.filter(visible);
        select = select.where(
          sql<boolean>`organization_quotas.guid IN (SELECT quota_guid FROM organizations WHERE guid = ANY(${seen}))`,
        );
      }
      const found = await page(db, select, 'organization_quotas', call.query);
      return ok(
        listView(links, '/v3/organization_quotas', call.query, found, (row) =>
          organizationQuotaView(links, row, visible),
        ),
      );
    },
  }),

  operation({
    id: 'POST /v3/organization_quotas',
    body: CreateOrganizationQuota,
    async run(call) {
      const { db, links } = call.context;
      const guids = guidsOf(call.body.relationships?.organizations ?? { data: [] });
      const guid = await db.transaction().execute(async (trx) => {
        const made = await insertOrganizationQuota(trx, call.body.name, call.body);
        await apply(trx, made, guids);
        await recordEvent(trx, event(call.actor, 'create', { guid: made, name: call.body.name }, call.body));
        return made;
      });
      return created(organizationQuotaView(links, await existing(db, guid), () => true));
    },
  }),

  operation({
    id: 'GET /v3/organization_quotas/:guid',
    async run(call) {
      const { db, links } = call.context;
      const quota = await existing(db, call.params.guid);
      return ok(organizationQuotaView(links, quota, await organizationFilter(db, call.caller)));
    },
  }),

  operation({
    id: 'PATCH /v3/organization_quotas/:guid',
    body: UpdateOrganizationQuota,
    async run(call) {
      const { db, links } = call.context;
      const quota = await existing(db, call.params.guid);
      await db.transaction().execute(async (trx) => {
        await updateOrganizationQuota(trx, quota, call.body);
        await recordEvent(trx, event(call.actor, 'update', quota, call.body));
      });
      return ok(organizationQuotaView(links, await existing(db, quota.guid), () => true));
    },
  }),

  operation({
    id: 'DELETE /v3/organization_quotas/:guid',
    async run(call) {
      const quota = await existing(call.context.db, call.params.guid);
      if (quota.organization_guids.length > 0) {
        throw unprocessable(
          'This quota is applied to one or more organizations. Apply different quotas to those organizations before deleting.',
        );
      }
      const resource = { type: 'organization_quota', guid: quota.guid };
      return call.accepted(
        await call.context.jobs.enqueue({ operation: 'organization_quota.delete', actor: call.actor, resource }),
      );
    },
  }),

  operation({
    id: 'POST /v3/organization_quotas/:guid/relationships/organizations',
    body: ToMany,
    async run(call) {
      const { db, links } = call.context;
      const quota = await existing(db, call.params.guid);
      await db.transaction().execute(async (trx) => {
        await apply(trx, quota.guid, guidsOf(call.body));
        await recordEvent(trx, event(call.actor, 'apply', quota, call.body));
      });
      const path = `/v3/organization_quotas/${quota.guid}/relationships/organizations`;
      return ok(toManyView(links, path, (await existing(db, quota.guid)).organization_guids));
    },
  }),
];

/** Job "organization_quota.delete". */
export async function deleteOrganizationQuotaJob(context: Context, job: Job): Promise<undefined> {
  const quota = await findOrganizationQuota(context.db, job.resourceGuid ?? '');
  if (!quota) return;
  await context.db.transaction().execute(async (trx) => {
    await trx.deleteFrom('organization_quotas').where('guid', '=', quota.guid).execute();
    await recordEvent(trx, event(job.actor, 'delete', quota, {}));
  });
}

async function existing(db: Db, guid: string): Promise<OrganizationQuota> {
  const quota = await findOrganizationQuota(db, guid);
  if (!quota) throw notFound('Organization quota');
  return quota;
}

async function apply(db: Db, quotaGuid: string, organizationGuids: readonly string[]): Promise<void> {
  const found = new Set((await findOrganizations(db, organizationGuids)).map((row) => row.guid));
  const missing = organizationGuids.filter((guid) => !found.has(guid));
  if (missing.length > 0) {
    throw unprocessable(
      `Organizations with guids ["${missing.join('", "')}"] do not exist, or you do not have access to them.`,
    );
  }
  if (organizationGuids.length === 0) return;
  await db
    .updateTable('organizations')
    .set({ quota_guid: quotaGuid, updated_at: now })
    .where('guid', 'in', organizationGuids)
    .execute();
}

function event(actor: Job['actor'], verb: string, quota: { guid: string; name: string }, request: object) {
  return {
    type: `audit.organization_quota.${verb}`,
    actor,
    target: { guid: quota.guid, type: 'organization_quota', name: quota.name },
    organizationGuid: null,
    data: { request: { ...request } },
  };
}
