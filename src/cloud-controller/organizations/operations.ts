import { recordEvent } from '../audit-events/store.ts';
import { created, ok, operation } from '../operation.ts';
import { UsageSummaryView, usageView } from '../quotas/summary.ts';
import { deletes, lists, shown, shows } from '../standard.ts';
import { organizationEvent } from './events.ts';
import { CreateOrganization, UpdateOrganization } from './schema.ts';
import { insertManager, insertOrganization, updateOrganization } from './store.ts';
import { organization, organizations } from './subject.ts';
import { OrganizationView } from './view.ts';

export const organizationOperations = [
  operation('GET /v3/organizations', lists(organizations)),

  operation('POST /v3/organizations', {
    body: CreateOrganization,
    answers: { 201: OrganizationView },
    sets: ({ body }) => (body.suspended ? ['organization.suspended'] : []),
    async run(call) {
      const { body, caller } = call;
      const { name, suspended = false, metadata } = body;
      const made = await call.context.db.transaction().execute(async (trx) => {
        const row = await insertOrganization(trx, { name, suspended, metadata });
        await recordEvent(trx, organizationEvent('audit.organization.create', call.actor, row, { request: body }));
        // Whoever makes an organization without being an admin becomes its manager.
        if (!call.isAdmin && caller.userGuid !== null) await insertManager(trx, row.guid, caller.userGuid);
        return row;
      });
      return created(await shown(call, organizations, made));
    },
  }),

  operation('GET /v3/organizations/:guid', shows(organization, organizations)),

  operation('PATCH /v3/organizations/:guid', {
    on: organization,
    body: UpdateOrganization,
    answers: { 200: OrganizationView },
    sets: ({ body }) => (body.suspended === undefined ? [] : ['organization.suspended']),
    async run(call) {
      const { body, context, subject } = call;
      const updated = await context.db.transaction().execute(async (trx) => {
        const row = await updateOrganization(trx, subject.guid, body);
        await recordEvent(trx, organizationEvent('audit.organization.update', call.actor, row, { request: body }));
        return row;
      });
      if (body.name !== undefined) context.changed([subject.guid]);
      return ok(await shown(call, organizations, updated));
    },
  }),

  operation('DELETE /v3/organizations/:guid', deletes(organization, 'organization')),

  operation('GET /v3/organizations/:guid/usage_summary', {
    on: organization,
    answers: { 200: UsageSummaryView },
    async run({ context, path, subject }) {
      return ok({
        usage_summary: await usageView(context, subject.guid),
        links: { self: context.links.to(path), organization: context.links.to(`/v3/organizations/${subject.guid}`) },
      });
    },
  }),
];
