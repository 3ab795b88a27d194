import type { Static } from 'typebox';
import { recordEvent } from '../audit-events/store.ts';
import { notAuthorized, notFound } from '../errors.ts';
import { isFeatureEnabled } from '../feature-flags/store.ts';
import { listView } from '../list.ts';
import { type Call, created, ok, operation } from '../operation.ts';
import type { OperationId } from '../permissions.ts';
import { usageView } from '../quotas/usage.ts';
import { insertRole } from '../roles/store.ts';
import { CreateOrganization, UpdateOrganization } from './schema.ts';
import {
  findOrganization,
  insertOrganization,
  listOrganizations,
  type Organization,
  organizationQuery,
  updateOrganization,
} from './store.ts';
import { organizationView } from './view.ts';

/** The organization a path names, if the caller may do this operation there. */
export async function authorizedOrganization<Id extends OperationId>(
  call: Call<Id, unknown>,
  guid: string,
): Promise<Organization> {
  const organization = await findOrganization(call.context.db, guid);
  const missing = notFound('Organization');
  if (!organization) throw missing;
  await call.authorize({ organization }, missing);
  return organization;
}

export const organizationOperations = [
  operation({
    id: 'GET /v3/organizations',
    query: organizationQuery,
    async run(call) {
      const { db, links } = call.context;
      const found = await listOrganizations(db, call.query, call.visibleOrganizations());
      return ok(listView(links, '/v3/organizations', call.query, found, (row) => organizationView(links, row)));
    },
  }),

  operation({
    id: 'POST /v3/organizations',
    body: CreateOrganization,
    async run(call) {
      const { db, links } = call.context;
      await checkMayCreate(call);
      const { name, suspended = false, metadata } = call.body;
      const organization = await db.transaction().execute(async (trx) => {
        const row = await insertOrganization(trx, { name, suspended, ...(metadata ? { metadata } : {}) });
        await recordEvent(trx, organizationEvent(call, 'create', row, call.body));
        const { userGuid } = call.caller;
        // Whoever makes an organization without being an admin becomes its manager.
        if (!call.isAdmin && userGuid !== null) {
          for (const type of ['organization_user', 'organization_manager'] as const) {
            await insertRole(trx, { type, userGuid, organizationGuid: row.guid });
          }
        }
        return row;
      });
      return created(organizationView(links, organization));
    },
  }),

  operation({
    id: 'GET /v3/organizations/:guid',
    async run(call) {
      return ok(organizationView(call.context.links, await authorizedOrganization(call, call.params.guid)));
    },
  }),

  operation({
    id: 'PATCH /v3/organizations/:guid',
    body: UpdateOrganization,
    async run(call) {
      const { db, links } = call.context;
      const organization = await authorizedOrganization(call, call.params.guid);
      if (call.body.suspended !== undefined && !call.isAdmin) throw notAuthorized();
      const updated = await db.transaction().execute(async (trx) => {
        const row = await updateOrganization(trx, organization, call.body);
        await recordEvent(trx, organizationEvent(call, 'update', row, call.body));
        return row;
      });
      return ok(organizationView(links, updated));
    },
  }),

  operation({
    id: 'GET /v3/organizations/:guid/usage_summary',
    async run(call) {
      const { guid } = await authorizedOrganization(call, call.params.guid);
      const path = `/v3/organizations/${guid}`;
      const { links } = call.context;
      return ok({
        usage_summary: await usageView(call.context, guid),
        links: { self: links.to(`${path}/usage_summary`), organization: links.to(path) },
      });
    },
  }),

  operation({
    id: 'DELETE /v3/organizations/:guid',
    async run(call) {
      const { jobs } = call.context;
      const organization = await authorizedOrganization(call, call.params.guid);
      const job = await jobs.enqueue({
        operation: 'organization.delete',
        actor: call.actor,
        resource: { type: 'organization', guid: organization.guid },
      });
      return call.accepted(job);
    },
  }),
];

/** The admin may; others where feature flag user_org_creation is on, and never a suspended one. */
async function checkMayCreate(call: Call<OperationId, Static<typeof CreateOrganization>>): Promise<void> {
  if (call.isAdmin) return;
  if (!(await isFeatureEnabled(call.context.db, 'user_org_creation')) || call.body.suspended) throw notAuthorized();
}

function organizationEvent(call: Call<OperationId, unknown>, verb: string, row: Organization, request: object) {
  return {
    type: `audit.organization.${verb}`,
    actor: call.actor,
    target: { guid: row.guid, type: 'organization', name: row.name },
    organizationGuid: row.guid,
    data: { request: { ...request } },
  };
}
