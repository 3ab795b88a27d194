import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Db } from '../database.ts';
import { unprocessable } from '../errors.ts';
import { created, type Definition, noContent, ok, operation, type Unread } from '../operation.ts';
import { organization, organizations } from '../organizations/subject.ts';
import { organizationFilter } from '../organizations/visibility.ts';
import type { OperationId } from '../permissions.ts';
import {
  guidsOf,
  RelationshipToMany,
  RelationshipToOne,
  ToMany,
  ToOneOrNone,
  toManyView,
  toOneView,
} from '../relationships.ts';
import { space } from '../spaces/subject.ts';
import { seenSpaces } from '../spaces/visibility.ts';
import { lists, shown, shows } from '../standard.ts';
import type { Subject } from '../subject.ts';
import { assignToOrganization, assignToSpace } from './assignments.ts';
import { entitleOrganizations, revokeOrganization } from './entitlements.ts';
import { segmentEvent } from './events.ts';
import { CreateIsolationSegment, UpdateIsolationSegment } from './schema.ts';
import {
  assignedSpaces,
  deleteIsolationSegment,
  entitledOrganizations,
  type IsolationSegment,
  insertIsolationSegment,
  isEntitledTo,
  lockIsolationSegment,
  updateIsolationSegment,
} from './store.ts';
import { isolationSegment, isolationSegments } from './subject.ts';
import { entitlementView, IsolationSegmentView } from './view.ts';

const COLLECTION = '/v3/isolation_segments';
const ToSegment = ToOneOrNone<'isolation_segment'>();

type SegmentGuid = IsolationSegment['guid'] | null;
type Assigned = { 200: typeof RelationshipToOne };

export const isolationSegmentOperations = [
  operation('GET /v3/isolation_segments', lists(isolationSegments)),

  operation('POST /v3/isolation_segments', {
    body: CreateIsolationSegment,
    answers: { 201: IsolationSegmentView },
    async run(call) {
      const made = await call.context.db.transaction().execute(async (trx) => {
        const row = await insertIsolationSegment(trx, call.body);
        await recordEvent(trx, segmentEvent('audit.isolation_segment.create', call.actor, row, { request: call.body }));
        return row;
      });
      return created(await shown(call, isolationSegments, made));
    },
  }),

  operation('GET /v3/isolation_segments/:guid', shows(isolationSegment, isolationSegments)),

  operation('PATCH /v3/isolation_segments/:guid', {
    on: isolationSegment,
    body: UpdateIsolationSegment,
    answers: { 200: IsolationSegmentView },
    async run(call) {
      const updated = await call.context.db.transaction().execute(async (trx) => {
        const before = await lockIsolationSegment(trx, call.subject.guid);
        const row = await updateIsolationSegment(trx, before, call.body);
        await recordEvent(trx, segmentEvent('audit.isolation_segment.update', call.actor, row, { request: call.body }));
        return row;
      });
      return ok(await shown(call, isolationSegments, updated));
    },
  }),

  operation('DELETE /v3/isolation_segments/:guid', {
    on: isolationSegment,
    answers: { 204: null },
    async run(call) {
      await call.context.db.transaction().execute(async (trx) => {
        const segment = await lockIsolationSegment(trx, call.subject.guid);
        if ((await entitledOrganizations(trx, segment.guid)).length > 0) {
          throw unprocessable('Revoke the Organization entitlements for your Isolation Segment.');
        }
        await deleteIsolationSegment(trx, segment.guid);
        await recordEvent(trx, segmentEvent('audit.isolation_segment.delete', call.actor, segment, { request: {} }));
      });
      return noContent();
    },
  }),

  operation(
    'GET /v3/isolation_segments/:guid/organizations',
    lists(organizations, { on: isolationSegment, inside: ({ guid }) => isEntitledTo(guid) }),
  ),

  operation('GET /v3/isolation_segments/:guid/relationships/organizations', {
    on: isolationSegment,
    answers: { 200: RelationshipToMany },
    async run({ caller, context, subject }) {
      const { db, links } = context;
      const visible = await organizationFilter(db, caller);
      const guids = await entitledOrganizations(db, subject.guid);
      return ok(entitlementView(links, subject.guid, guids.filter(visible)));
    },
  }),

  operation('POST /v3/isolation_segments/:guid/relationships/organizations', {
    on: isolationSegment,
    body: ToMany<'organization'>(),
    answers: { 200: RelationshipToMany },
    async run({ actor, body, context, subject }) {
      const { db, links } = context;
      await entitleOrganizations(db, actor, subject.guid, guidsOf(body));
      return ok(entitlementView(links, subject.guid, await entitledOrganizations(db, subject.guid)));
    },
  }),

  operation('DELETE /v3/isolation_segments/:guid/relationships/organizations/:org_guid', {
    on: isolationSegment,
    answers: { 204: null },
    async run({ actor, context, params, subject }) {
      await revokeOrganization(context.db, actor, subject.guid, params.org_guid);
      return noContent();
    },
  }),

  operation('GET /v3/isolation_segments/:guid/relationships/spaces', {
    on: isolationSegment,
    answers: { 200: RelationshipToMany },
    async run({ caller, context, path, subject }) {
      const guids = await assignedSpaces(context.db, subject.guid, seenSpaces(caller));
      return ok(toManyView(context.links, path, guids));
    },
  }),

  operation(
    'GET /v3/organizations/:guid/relationships/default_isolation_segment',
    showsAssigned(organization, ({ default_isolation_segment_guid }) => default_isolation_segment_guid),
  ),
  operation(
    'PATCH /v3/organizations/:guid/relationships/default_isolation_segment',
    assigns(organization, assignToOrganization),
  ),

  operation(
    'GET /v3/spaces/:guid/relationships/isolation_segment',
    showsAssigned(space, ({ isolation_segment_guid }) => isolation_segment_guid),
  ),
  operation('PATCH /v3/spaces/:guid/relationships/isolation_segment', assigns(space, assignToSpace)),
];

/** The segment of an organization or of a space. */
function showsAssigned<Row>(
  on: Subject<Row>,
  segmentOf: (row: Row) => SegmentGuid,
): Definition<OperationId, Subject<Row>, Unread, Assigned> {
  return {
    on,
    answers: { 200: RelationshipToOne },
    run: async ({ context, path, subject }) => ok(toOneView(context.links, path, COLLECTION, segmentOf(subject))),
  };
}

/** Gives an organization or a space another segment, or none. */
function assigns<Row>(
  on: Subject<Row>,
  assign: (db: Db, actor: Actor, row: Row, segmentGuid: SegmentGuid) => Promise<void>,
): Definition<OperationId, Subject<Row>, typeof ToSegment, Assigned> {
  return {
    on,
    body: ToSegment,
    answers: { 200: RelationshipToOne },
    async run({ actor, body, context, path, subject }) {
      const guid = body.data?.guid ?? null;
      await assign(context.db, actor, subject, guid);
      return ok(toOneView(context.links, path, COLLECTION, guid));
    },
  };
}
