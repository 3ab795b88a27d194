import { Type } from 'typebox';
import { recordEvent } from '../audit-events/store.ts';
import { notFound, unprocessable } from '../errors.ts';
import { created, ok, operation } from '../operation.ts';
import { organization } from '../organizations/subject.ts';
import { UsageSummaryView, usageView } from '../quotas/summary.ts';
import { deletes, lists, shown, shows } from '../standard.ts';
import { inBody } from '../subject.ts';
import { spaceEvent } from './events.ts';
import { CreateSpace, UpdateFeature, UpdateSpace } from './schema.ts';
import { insertSpace, updateSpace } from './store.ts';
import { space, spaces } from './subject.ts';
import { FeatureView, SpaceView, sshFeatureView } from './view.ts';

const invalidOrganization = () =>
  unprocessable('Invalid organization. Ensure the organization exists and you have access to it.');

export const spaceOperations = [
  operation('GET /v3/spaces', lists(spaces)),

  operation('POST /v3/spaces', {
    on: { organization: inBody('relationships.organization', organization, invalidOrganization) },
    body: CreateSpace,
    answers: { 201: SpaceView },
    async run(call) {
      const { body, subject } = call;
      const { name, metadata } = body;
      const made = await call.context.db.transaction().execute(async (trx) => {
        const row = await insertSpace(trx, { name, organizationGuid: subject.organization.guid, metadata });
        await recordEvent(trx, spaceEvent('audit.space.create', call.actor, row, { request: body }));
        return row;
      });
      return created(await shown(call, spaces, made));
    },
  }),

  operation('GET /v3/spaces/:guid', shows(space, spaces)),

  operation('PATCH /v3/spaces/:guid', {
    on: space,
    body: UpdateSpace,
    answers: { 200: SpaceView },
    async run(call) {
      const { body, context, subject } = call;
      const updated = await context.db.transaction().execute(async (trx) => {
        const row = await updateSpace(trx, subject, body);
        await recordEvent(trx, spaceEvent('audit.space.update', call.actor, row, { request: body }));
        return row;
      });
      if (body.name !== undefined) context.changed([subject.guid]);
      return ok(await shown(call, spaces, updated));
    },
  }),

  operation('DELETE /v3/spaces/:guid', deletes(space, 'space')),

  operation('GET /v3/spaces/:guid/usage_summary', {
    on: space,
    answers: { 200: UsageSummaryView },
    async run({ context, path, subject }) {
      return ok({
        usage_summary: await usageView(context, subject.organization_guid, subject.guid),
        links: { self: context.links.to(path), space: context.links.to(`/v3/spaces/${subject.guid}`) },
      });
    },
  }),

  operation('GET /v3/spaces/:guid/features', {
    on: space,
    answers: { 200: Type.Object({ resources: Type.Array(FeatureView) }) },
    run: async ({ subject }) => ok({ resources: [sshFeatureView(subject)] }),
  }),

  operation('GET /v3/spaces/:guid/features/:name', {
    on: space,
    answers: { 200: FeatureView },
    async run({ params, subject }) {
      if (params.name !== 'ssh') throw notFound('Feature');
      return ok(sshFeatureView(subject));
    },
  }),

  operation('PATCH /v3/spaces/:guid/features/:name', {
    on: space,
    body: UpdateFeature,
    answers: { 200: FeatureView },
    async run(call) {
      const { body, params, subject } = call;
      if (params.name !== 'ssh') throw notFound('Feature');
      await call.context.db.transaction().execute(async (trx) => {
        await updateSpace(trx, subject, { allowSsh: body.enabled });
        await recordEvent(
          trx,
          spaceEvent('audit.space.update', call.actor, subject, { request: { features: { ssh: body.enabled } } }),
        );
      });
      return ok(sshFeatureView({ allow_ssh: body.enabled }));
    },
  }),
];
