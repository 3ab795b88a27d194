import { recordEvent } from '../audit-events/store.ts';
import { created, ok, operation } from '../operation.ts';
import { guidsOf, RelationshipToMany, ToMany, toManyView } from '../relationships.ts';
import { deletes, lists, shown, shows } from '../standard.ts';
import { organizationQuotaEvent } from './events.ts';
import { checkUnused } from './jobs.ts';
import { CreateOrganizationQuota, UpdateOrganizationQuota } from './schema.ts';
import {
  applyOrganizationQuota,
  findOrganizationQuota,
  insertOrganizationQuota,
  updateOrganizationQuota,
} from './store.ts';
import { organizationQuota, organizationQuotas } from './subject.ts';
import { OrganizationQuotaView } from './view.ts';

export const organizationQuotaOperations = [
  operation('GET /v3/organization_quotas', lists(organizationQuotas)),

  operation('POST /v3/organization_quotas', {
    body: CreateOrganizationQuota,
    answers: { 201: OrganizationQuotaView },
    async run(call) {
      const { body, context } = call;
      const guids = guidsOf(body.relationships?.organizations ?? { data: [] });
      const made = await context.db.transaction().execute(async (trx) => {
        const row = await insertOrganizationQuota(trx, body.name, body, guids);
        await recordEvent(
          trx,
          organizationQuotaEvent('audit.organization_quota.create', call.actor, row, { request: body }),
        );
        return row;
      });
      return created(await shown(call, organizationQuotas, made));
    },
  }),

  operation('GET /v3/organization_quotas/:guid', shows(organizationQuota, organizationQuotas)),

  operation('PATCH /v3/organization_quotas/:guid', {
    on: organizationQuota,
    body: UpdateOrganizationQuota,
    answers: { 200: OrganizationQuotaView },
    async run(call) {
      const { body, context, subject } = call;
      const updated = await context.db.transaction().execute(async (trx) => {
        const row = await updateOrganizationQuota(trx, subject.guid, body);
        await recordEvent(
          trx,
          organizationQuotaEvent('audit.organization_quota.update', call.actor, subject, { request: body }),
        );
        return row;
      });
      return ok(await shown(call, organizationQuotas, updated));
    },
  }),

  operation(
    'DELETE /v3/organization_quotas/:guid',
    deletes(organizationQuota, 'organization_quota', ({ subject }) => checkUnused(subject)),
  ),

  operation('POST /v3/organization_quotas/:guid/relationships/organizations', {
    on: organizationQuota,
    body: ToMany<'organization'>(),
    answers: { 200: RelationshipToMany },
    async run(call) {
      const { body, context, path, subject } = call;
      const after = await context.db.transaction().execute(async (trx) => {
        const applied = await applyOrganizationQuota(trx, subject.guid, guidsOf(body));
        if (applied > 0)
          await recordEvent(
            trx,
            organizationQuotaEvent('audit.organization_quota.apply', call.actor, subject, { request: body }),
          );
        return findOrganizationQuota(trx, subject.guid);
      });
      return ok(toManyView(context.links, path, after?.organization_guids ?? []));
    },
  }),
];
