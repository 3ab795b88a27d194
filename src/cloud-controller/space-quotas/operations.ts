import { recordEvent } from '../audit-events/store.ts';
import { unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { created, noContent, ok, operation } from '../operation.ts';
import { organization } from '../organizations/subject.ts';
import { guidsOf, RelationshipToMany, ToMany, toManyView } from '../relationships.ts';
import { deletes, lists, shown, shows } from '../standard.ts';
import { inBody } from '../subject.ts';
import { spaceQuotaEvent } from './events.ts';
import { checkUnused } from './jobs.ts';
import { CreateSpaceQuota, UpdateSpaceQuota } from './schema.ts';
import { applySpaceQuota, findSpaceQuota, insertSpaceQuota, removeSpaceQuota, updateSpaceQuota } from './store.ts';
import { spaceQuota, spaceQuotas } from './subject.ts';
import { SpaceQuotaView } from './view.ts';

const noOrganization = (guid: string) =>
  unprocessable(`Organization with guid '${guid}' does not exist, or you do not have access to it.`);

export const spaceQuotaOperations = [
  operation('GET /v3/space_quotas', lists(spaceQuotas)),

  operation('POST /v3/space_quotas', {
    on: { organization: inBody('relationships.organization', organization, noOrganization) },
    body: CreateSpaceQuota,
    answers: { 201: SpaceQuotaView },
    async run(call) {
      const { body, context, subject } = call;
      const guids = guidsOf(body.relationships.spaces ?? { data: [] });
      const made = await context.db.transaction().execute(async (trx) => {
        const row = await insertSpaceQuota(trx, body.name, subject.organization.guid, body, guids);
        await recordEvent(trx, spaceQuotaEvent('audit.space_quota.create', call.actor, row, { request: body }));
        return row;
      });
      return created(await shown(call, spaceQuotas, made));
    },
  }),

  operation('GET /v3/space_quotas/:guid', shows(spaceQuota, spaceQuotas)),

  operation('PATCH /v3/space_quotas/:guid', {
    on: spaceQuota,
    body: UpdateSpaceQuota,
    answers: { 200: SpaceQuotaView },
    async run(call) {
      const { body, context, subject } = call;
      const updated = await context.db.transaction().execute(async (trx) => {
        const row = await updateSpaceQuota(trx, subject.guid, body);
        await recordEvent(trx, spaceQuotaEvent('audit.space_quota.update', call.actor, subject, { request: body }));
        return row;
      });
      return ok(await shown(call, spaceQuotas, updated));
    },
  }),

  operation(
    'DELETE /v3/space_quotas/:guid',
    deletes(spaceQuota, 'space_quota', ({ subject }) => checkUnused(subject)),
  ),

  operation('POST /v3/space_quotas/:guid/relationships/spaces', {
    on: spaceQuota,
    body: ToMany<'space'>(),
    answers: { 200: RelationshipToMany },
    async run(call) {
      const { body, context, path, subject } = call;
      const after = await context.db.transaction().execute(async (trx) => {
        const applied = await applySpaceQuota(trx, subject, guidsOf(body));
        if (applied > 0)
          await recordEvent(trx, spaceQuotaEvent('audit.space_quota.apply', call.actor, subject, { request: body }));
        return findSpaceQuota(trx, subject.guid);
      });
      return ok(toManyView(context.links, path, after?.space_guids ?? []));
    },
  }),

  operation('DELETE /v3/space_quotas/:guid/relationships/spaces/:space_guid', {
    on: spaceQuota,
    answers: { 204: null },
    async run(call) {
      const { context, params, subject } = call;
      const spaceGuid = params.space_guid;
      await context.db.transaction().execute(async (trx) => {
        if (!(await removeSpaceQuota(trx, subject.guid, spaceGuid))) throw notApplied(spaceGuid);
        await recordEvent(
          trx,
          spaceQuotaEvent('audit.space_quota.remove', call.actor, subject, { request: { space_guid: spaceGuid } }),
        );
      });
      return noContent();
    },
  }),
];

function notApplied(spaceGuid: Guid<'space'>) {
  return unprocessable(
    `Unable to remove quota from space with guid '${spaceGuid}'. Ensure the space quota is applied to this space.`,
  );
}
