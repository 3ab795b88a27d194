import { type AuditEvent, recordEvent } from '../audit-events/store.ts';
import type { Db } from '../database.ts';
import { notFound, unprocessable } from '../errors.ts';
import { listView } from '../list.ts';
import { type Call, created, ok, operation } from '../operation.ts';
import { findOrganization, findOrganizations } from '../organizations/store.ts';
import { organizationView } from '../organizations/view.ts';
import type { OperationId } from '../permissions.ts';
import type { Query } from '../query.ts';
import { usageView } from '../quotas/usage.ts';
import { CreateSpace, UpdateFeature, UpdateSpace } from './schema.ts';
import { findSpace, insertSpace, listSpaces, placeOf, type Space, spaceQuery, updateSpace } from './store.ts';
import { spaceView, sshFeatureView } from './view.ts';

/** The space a path names, if the caller may do this operation there. */
export async function authorizedSpace<Id extends OperationId>(call: Call<Id, unknown>, guid: string): Promise<Space> {
  const space = await findSpace(call.context.db, guid);
  const missing = notFound('Space');
  if (!space) throw missing;
  await call.authorize(placeOf(space), missing);
  return space;
}

export const spaceOperations = [
  operation({
    id: 'GET /v3/spaces',
    query: spaceQuery,
    async run(call) {
      const { db, links } = call.context;
      const found = await listSpaces(db, call.query, call.visibleSpaces());
      const included = await includedOrganizations(call, call.query, found.rows);
      return ok(listView(links, '/v3/spaces', call.query, found, (row) => spaceView(links, row), included));
    },
  }),

  operation({
    id: 'POST /v3/spaces',
    body: CreateSpace,
    async run(call) {
      const { db, links } = call.context;
      const invisible = unprocessable(
        'Invalid organization. Ensure the organization exists and you have access to it.',
      );
      const organization = await findOrganization(db, call.body.relationships.organization.data.guid);
      if (!organization) throw invisible;
      await call.authorize({ organization }, invisible);
      const space = await db.transaction().execute(async (trx) => {
        const { name, metadata } = call.body;
        const guid = await insertSpace(trx, { name, organizationGuid: organization.guid, metadata });
        const row = await reread(trx, guid);
        await recordEvent(trx, spaceEvent(call, 'create', row, call.body));
        return row;
      });
      return created(spaceView(links, space));
    },
  }),

  operation({
    id: 'GET /v3/spaces/:guid',
    query: { include: spaceQuery.include },
    async run(call) {
      const space = await authorizedSpace(call, call.params.guid);
      const included = await includedOrganizations(call, call.query, [space]);
      return ok({ ...spaceView(call.context.links, space), ...(included ? { included } : {}) });
    },
  }),

  operation({
    id: 'PATCH /v3/spaces/:guid',
    body: UpdateSpace,
    async run(call) {
      const { db, links } = call.context;
      const space = await authorizedSpace(call, call.params.guid);
      const updated = await db.transaction().execute(async (trx) => {
        await updateSpace(trx, space, call.body);
        const row = await reread(trx, space.guid);
        await recordEvent(trx, spaceEvent(call, 'update', row, call.body));
        return row;
      });
      return ok(spaceView(links, updated));
    },
  }),

  operation({
    id: 'DELETE /v3/spaces/:guid',
    async run(call) {
      const space = await authorizedSpace(call, call.params.guid);
      const job = await call.context.jobs.enqueue({
        operation: 'space.delete',
        actor: call.actor,
        resource: { type: 'space', guid: space.guid },
      });
      return call.accepted(job);
    },
  }),

  operation({
    id: 'GET /v3/spaces/:guid/usage_summary',
    async run(call) {
      const space = await authorizedSpace(call, call.params.guid);
      const path = `/v3/spaces/${space.guid}`;
      const { links } = call.context;
      return ok({
        usage_summary: await usageView(call.context, space.organization_guid, space.guid),
        links: { self: links.to(`${path}/usage_summary`), space: links.to(path) },
      });
    },
  }),

  operation({
    id: 'GET /v3/spaces/:guid/features',
    async run(call) {
      return ok({ resources: [sshFeatureView(await authorizedSpace(call, call.params.guid))] });
    },
  }),

  operation({
    id: 'GET /v3/spaces/:guid/features/:name',
    async run(call) {
      const space = await authorizedSpace(call, call.params.guid);
      if (call.params.name !== 'ssh') throw notFound('Feature');
      return ok(sshFeatureView(space));
    },
  }),

  operation({
    id: 'PATCH /v3/spaces/:guid/features/:name',
    body: UpdateFeature,
    async run(call) {
      const { db } = call.context;
      const space = await authorizedSpace(call, call.params.guid);
      if (call.params.name !== 'ssh') throw notFound('Feature');
      await db.transaction().execute(async (trx) => {
        await updateSpace(trx, space, { allowSsh: call.body.enabled });
        await recordEvent(trx, spaceEvent(call, 'update', space, { features: { ssh: call.body.enabled } }));
      });
      return ok(sshFeatureView({ ...space, allow_ssh: call.body.enabled }));
    },
  }),
];

async function reread(db: Db, guid: string): Promise<Space> {
  const space = await findSpace(db, guid);
  if (!space) throw notFound('Space');
  return space;
}

async function includedOrganizations(call: Call<OperationId, unknown>, query: Query, spaces: readonly Space[]) {
  if (query.include.size === 0) return undefined;
  const { db, links } = call.context;
  const guids = [...new Set(spaces.map((space) => space.organization_guid))];
  const organizations = await findOrganizations(db, guids);
  return { organizations: organizations.map((row) => organizationView(links, row)) };
}

export function spaceEvent(
  call: { actor: AuditEvent['actor'] },
  verb: string,
  space: Space,
  request: object,
): AuditEvent {
  return {
    type: `audit.space.${verb}`,
    actor: call.actor,
    target: { guid: space.guid, type: 'space', name: space.name },
    organizationGuid: space.organization_guid,
    spaceGuid: space.guid,
    data: { request: { ...request } },
  };
}
