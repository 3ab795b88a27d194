import { sql } from 'kysely';
import { Type } from 'typebox';
import { type Db, now } from '../database.ts';
import { organizationFilter } from '../domains/access.ts';
import { notFound, unprocessable } from '../errors.ts';
import { listView } from '../list.ts';
import { MetadataInput } from '../metadata.ts';
import { type Call, created, noContent, ok, operation } from '../operation.ts';
import { authorizedOrganization } from '../organizations/operations.ts';
import { findOrganizations, listOrganizations, organizationQuery } from '../organizations/store.ts';
import { organizationView } from '../organizations/view.ts';
import type { OperationId } from '../permissions.ts';
import { guidsOf, ToMany, ToOneOrNone, toManyView, toOneView } from '../relationships.ts';
import { authorizedSpace } from '../spaces/operations.ts';
import { updateSpace } from '../spaces/store.ts';
import { identityView, type Links } from '../view.ts';
import {
  entitledOrganizations,
  findIsolationSegment,
  type IsolationSegment,
  insertIsolationSegment,
  isolationSegmentQuery,
  isVisibleSegment,
  listIsolationSegments,
  SHARED_SEGMENT_GUID,
  updateIsolationSegment,
} from './store.ts';

const Name = Type.String({ minLength: 1, maxLength: 255 });
const Create = Type.Object({ name: Name, metadata: Type.Optional(MetadataInput) }, { additionalProperties: false });
const Update = Type.Partial(Create, { additionalProperties: false });

export const isolationSegmentOperations = [
  operation({
    id: 'GET /v3/isolation_segments',
    query: isolationSegmentQuery,
    async run(call) {
      const { db, links } = call.context;
      const found = await listIsolationSegments(db, call.query, call.visibleOrganizations());
      return ok(listView(links, '/v3/isolation_segments', call.query, found, (row) => segmentView(links, row)));
    },
  }),

  operation({
    id: 'POST /v3/isolation_segments',
    body: Create,
    async run(call) {
      return created(segmentView(call.context.links, await insertIsolationSegment(call.context.db, call.body)));
    },
  }),

  operation({
    id: 'GET /v3/isolation_segments/:guid',
    async run(call) {
      return ok(segmentView(call.context.links, await visibleSegment(call, call.params.guid)));
    },
  }),

  operation({
    id: 'PATCH /v3/isolation_segments/:guid',
    body: Update,
    async run(call) {
      const segment = await changeableSegment(call.context.db, call.params.guid);
      return ok(segmentView(call.context.links, await updateIsolationSegment(call.context.db, segment, call.body)));
    },
  }),

  operation({
    id: 'DELETE /v3/isolation_segments/:guid',
    async run(call) {
      const { db } = call.context;
      const segment = await changeableSegment(db, call.params.guid);
      if ((await entitledOrganizations(db, segment.guid)).length > 0) {
        throw unprocessable('Revoke the Organization entitlements for your Isolation Segment.');
      }
      await db.deleteFrom('isolation_segments').where('guid', '=', segment.guid).execute();
      return noContent();
    },
  }),

  operation({
    id: 'GET /v3/isolation_segments/:guid/organizations',
    query: organizationQuery,
    async run(call) {
      const { db, links } = call.context;
      const segment = await visibleSegment(call, call.params.guid);
      const found = await listOrganizations(db, call.query, call.visibleOrganizations(), segment.guid);
      const path = `/v3/isolation_segments/${segment.guid}/organizations`;
      return ok(listView(links, path, call.query, found, (row) => organizationView(links, row)));
    },
  }),

  operation({
    id: 'GET /v3/isolation_segments/:guid/relationships/organizations',
    async run(call) {
      const { db } = call.context;
      const segment = await visibleSegment(call, call.params.guid);
      const visible = await organizationFilter(db, call.caller);
      const guids = (await entitledOrganizations(db, segment.guid)).filter(visible);
      return ok(entitlementView(call.context.links, segment.guid, guids));
    },
  }),

  operation({
    id: 'POST /v3/isolation_segments/:guid/relationships/organizations',
    body: ToMany,
    async run(call) {
      const { db, links } = call.context;
      const segment = await changeableSegment(db, call.params.guid);
      const guids = guidsOf(call.body);
      const found = await findOrganizations(db, guids);
      if (found.length !== guids.length) {
        const missing = guids.filter((guid) => !found.some((row) => row.guid === guid));
        throw unprocessable(
          `Unable to entitle organizations ['${missing.join("', '")}'] for the isolation segment. Ensure the organizations exist.`,
        );
      }
      if (guids.length > 0) {
        await db
          .insertInto('organization_isolation_segments')
          .values(guids.map((guid) => ({ organization_guid: guid, isolation_segment_guid: segment.guid })))
          .onConflict((conflict) => conflict.doNothing())
          .execute();
      }
      return ok(entitlementView(links, segment.guid, await entitledOrganizations(db, segment.guid)));
    },
  }),

  operation({
    id: 'DELETE /v3/isolation_segments/:guid/relationships/organizations/:org_guid',
    async run(call) {
      const { db } = call.context;
      const segment = await changeableSegment(db, call.params.guid);
      const organization = call.params.org_guid;
      const used = await db
        .selectFrom('spaces')
        .select('guid')
        .where('organization_guid', '=', organization)
        .where('isolation_segment_guid', '=', segment.guid)
        .executeTakeFirst();
      const isDefault = await db
        .selectFrom('organizations')
        .select('guid')
        .where('guid', '=', organization)
        .where('default_isolation_segment_guid', '=', segment.guid)
        .executeTakeFirst();
      if (used || isDefault) {
        throw unprocessable('Please delete the Space associations for your Isolation Segment.');
      }
      await db
        .deleteFrom('organization_isolation_segments')
        .where('organization_guid', '=', organization)
        .where('isolation_segment_guid', '=', segment.guid)
        .execute();
      return noContent();
    },
  }),

  operation({
    id: 'GET /v3/isolation_segments/:guid/relationships/spaces',
    async run(call) {
      const { db, links } = call.context;
      const segment = await visibleSegment(call, call.params.guid);
      const visible = call.visibleSpaces();
      const select = db.selectFrom('spaces').select('guid').where('isolation_segment_guid', '=', segment.guid);
      const seen = await (visible.everything ? select : select.where(sql<boolean>`guid IN ${visible.guids}`)).execute();
      const path = `/v3/isolation_segments/${segment.guid}/relationships/spaces`;
      return ok(
        toManyView(
          links,
          path,
          seen.map((row) => row.guid),
        ),
      );
    },
  }),

  operation({
    id: 'GET /v3/organizations/:guid/relationships/default_isolation_segment',
    async run(call) {
      const organization = await authorizedOrganization(call, call.params.guid);
      const self = `/v3/organizations/${organization.guid}/relationships/default_isolation_segment`;
      return ok(
        toOneView(call.context.links, self, '/v3/isolation_segments', organization.default_isolation_segment_guid),
      );
    },
  }),

  operation({
    id: 'PATCH /v3/organizations/:guid/relationships/default_isolation_segment',
    body: ToOneOrNone,
    async run(call) {
      const { db, links } = call.context;
      const organization = await authorizedOrganization(call, call.params.guid);
      const guid = call.body.data?.guid ?? null;
      await checkEntitled(db, organization.guid, guid);
      await db
        .updateTable('organizations')
        .set({ default_isolation_segment_guid: guid, updated_at: now })
        .where('guid', '=', organization.guid)
        .execute();
      const self = `/v3/organizations/${organization.guid}/relationships/default_isolation_segment`;
      return ok(toOneView(links, self, '/v3/isolation_segments', guid));
    },
  }),

  operation({
    id: 'GET /v3/spaces/:guid/relationships/isolation_segment',
    async run(call) {
      const space = await authorizedSpace(call, call.params.guid);
      const self = `/v3/spaces/${space.guid}/relationships/isolation_segment`;
      return ok(toOneView(call.context.links, self, '/v3/isolation_segments', space.isolation_segment_guid));
    },
  }),

  operation({
    id: 'PATCH /v3/spaces/:guid/relationships/isolation_segment',
    body: ToOneOrNone,
    async run(call) {
      const { db, links } = call.context;
      const space = await authorizedSpace(call, call.params.guid);
      const guid = call.body.data?.guid ?? null;
      await checkEntitled(db, space.organization_guid, guid);
      await updateSpace(db, space, { isolationSegmentGuid: guid });
      const self = `/v3/spaces/${space.guid}/relationships/isolation_segment`;
      return ok(toOneView(links, self, '/v3/isolation_segments', guid));
    },
  }),
];

async function checkEntitled(db: Db, organizationGuid: string, segmentGuid: string | null): Promise<void> {
  if (segmentGuid === null) return;
  if ((await entitledOrganizations(db, segmentGuid)).includes(organizationGuid)) return;
  throw unprocessable(
    `Unable to assign isolation segment with guid '${segmentGuid}'. Ensure it has been entitled to the organization.`,
  );
}

async function visibleSegment(call: Call<OperationId, unknown>, guid: string): Promise<IsolationSegment> {
  const { db } = call.context;
  const segment = await findIsolationSegment(db, guid);
  if (!segment || !(await isVisibleSegment(db, guid, call.visibleOrganizations()))) throw notFound('Isolation segment');
  return segment;
}

async function changeableSegment(db: Db, guid: string): Promise<IsolationSegment> {
  const segment = await findIsolationSegment(db, guid);
  if (!segment) throw notFound('Isolation segment');
  if (guid === SHARED_SEGMENT_GUID) throw unprocessable('Cannot update or delete the shared Isolation Segment');
  return segment;
}

function segmentView(links: Links, segment: IsolationSegment): Record<string, unknown> {
  const path = `/v3/isolation_segments/${segment.guid}`;
  return {
    ...identityView(segment),
    name: segment.name,
    metadata: { labels: segment.labels, annotations: segment.annotations },
    links: { self: links.to(path), organizations: links.to(`${path}/organizations`) },
  };
}

function entitlementView(links: Links, guid: string, guids: readonly string[]): Record<string, unknown> {
  const path = `/v3/isolation_segments/${guid}`;
  const view = toManyView(links, `${path}/relationships/organizations`, guids);
  return { ...view, links: { ...view.links, related: links.to(`${path}/organizations`) } };
}
