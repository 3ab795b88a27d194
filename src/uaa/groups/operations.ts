import { type Static, Type } from 'typebox';
import { UaaError } from '../errors.ts';
import { queryOf, type UaaApp } from '../http/app.ts';
import type { Callers } from '../http/gate.ts';
import type { MemberType } from '../schema.ts';
import { filterOf, orderOf, pageOf } from '../scim/query.ts';
import { attributeNames, onlyAttributes, SCIM_SCHEMAS, scimList } from '../scim/view.ts';
import type { Services } from '../services.ts';
import { actor } from '../users/operations.ts';
import { userView } from '../users/view.ts';
import { PLATFORM_GROUPS } from './names.ts';
import { type Group, type Member, type NewMember, noGroup } from './store.ts';

const MemberBody = Type.Object({
  value: Type.String({ minLength: 1, maxLength: 255 }),
  type: Type.Optional(Type.Union([Type.Literal('USER'), Type.Literal('GROUP')])),
  origin: Type.Optional(Type.String({ maxLength: 36 })),
});
const GroupBody = Type.Object({
  displayName: Type.String({ minLength: 1, maxLength: 255, pattern: '^[\\w.*:/-]+$' }),
  description: Type.Optional(Type.Union([Type.String({ maxLength: 255 }), Type.Null()])),
  members: Type.Optional(Type.Array(MemberBody, { maxItems: 1000 })),
});
const GroupPath = Type.Object({ id: Type.String() });
const MemberPath = Type.Object({ id: Type.String(), memberId: Type.String() });

/** SCIM: `/Groups` and their members. */
export function registerGroups(app: UaaApp, services: Services, callers: Callers): void {
  const { groups, audit } = services;

  app.get('/Groups', async (request) => {
    const query = queryOf(request);
    const page = pageOf(query.get('startIndex'), query.get('count'));
    const order = orderOf(query.get('sortBy'), query.get('sortOrder'));
    const found = await groups.list(filterOf(query), page, order);
    const attributes = query.get('attributes');
    const wanted = attributeNames(attributes)?.has('members') === false ? [] : found.groups.map(({ id }) => id);
    const members = await groups.membersOf(wanted);
    const views = found.groups.map((group) => groupView(group, members.get(group.id) ?? []));
    return scimList(onlyAttributes(views, attributes), page, found.total);
  });

  app.get('/Groups/:id', { schema: { params: GroupPath } }, async (request) => {
    const group = await requireGroup(services, request.params.id);
    return groupView(group, await groups.members(group.id));
  });

  app.post('/Groups', { schema: { body: GroupBody } }, async (request, reply) => {
    const { displayName, description, members } = request.body;
    const group = await groups.create(displayName, description ?? null, (members ?? []).map(memberOf));
    audit.info('a group was created', { ...actor(callers, request), group: displayName });
    return reply.code(201).send(groupView(group, await groups.members(group.id)));
  });

  app.delete('/Groups/:id', { schema: { params: GroupPath } }, async (request) => {
    const group = await requireGroup(services, request.params.id);
    if (Object.hasOwn(PLATFORM_GROUPS, group.display_name)) {
      throw new UaaError('invalid_scim_resource', 'A group of the platform cannot be deleted.');
    }
    const view = groupView(group, await groups.members(group.id));
    await groups.delete(group.id);
    audit.info('a group was deleted', { ...actor(callers, request), group: group.display_name });
    return view;
  });

  app.get('/Groups/:id/members', { schema: { params: GroupPath } }, async (request) => {
    const group = await requireGroup(services, request.params.id);
    const members = await groups.members(group.id);
    if (queryOf(request).get('returnEntities') !== 'true') return members.map(memberView);
    const entities = await entitiesOf(services, members);
    return members.map((member) => ({ ...memberView(member), entity: entities.get(member.member_id) }));
  });

  app.post('/Groups/:id/members', { schema: { params: GroupPath, body: MemberBody } }, async (request, reply) => {
    const group = await requireGroup(services, request.params.id);
    await groups.addMember(group.id, memberOf(request.body));
    audit.info('a member was added to a group', {
      ...actor(callers, request),
      group: group.display_name,
      member: request.body.value,
    });
    return reply.code(201).send({ type: 'USER', origin: 'uaa', ...request.body });
  });

  app.get('/Groups/:id/members/:memberId', { schema: { params: MemberPath } }, async (request) => {
    const { id, memberId } = request.params;
    const members = await groups.members((await requireGroup(services, id)).id);
    const member = members.find((candidate) => candidate.member_id === memberId);
    return member ? memberView(member) : refuseStranger(memberId, id);
  });

  app.delete('/Groups/:id/members/:memberId', { schema: { params: MemberPath } }, async (request) => {
    const { id, memberId } = request.params;
    const group = await requireGroup(services, id);
    const member = (await groups.members(id)).find((candidate) => candidate.member_id === memberId);
    if (!member || !(await groups.removeMember(id, memberId))) return refuseStranger(memberId, id);
    audit.info('a member was removed from a group', {
      ...actor(callers, request),
      group: group.display_name,
      member: memberId,
    });
    return memberView(member);
  });
}

function memberOf({ value, type, origin }: Static<typeof MemberBody>): NewMember {
  return { id: value, type: type ?? 'USER', origin: origin ?? 'uaa' };
}

/** The users and groups themselves, by id. */
async function entitiesOf({ users, groups }: Services, members: readonly Member[]): Promise<Map<string, object>> {
  const idsOf = (type: MemberType) => members.filter((one) => one.member_type === type).map((one) => one.member_id);
  const [ofUsers, ofGroups] = [await users.byIds(idsOf('USER')), await groups.byIds(idsOf('GROUP'))];
  const memberships = await groups.ofUsers(ofUsers.map(({ id }) => id));
  const inner = await groups.membersOf(ofGroups.map(({ id }) => id));
  return new Map<string, object>([
    ...ofUsers.map((user) => [user.id, userView(user, memberships.get(user.id) ?? [])] as const),
    ...ofGroups.map((group) => [group.id, groupView(group, inner.get(group.id) ?? [])] as const),
  ]);
}

async function requireGroup(services: Services, id: string): Promise<Group> {
  const group = await services.groups.byId(id);
  if (!group) throw noGroup(id);
  return group;
}

function refuseStranger(memberId: string, groupId: string): never {
  throw new UaaError('scim_resource_not_found', `Member ${memberId} does not exist in group ${groupId}`);
}

function memberView(member: Member) {
  return { value: member.member_id, type: member.member_type, origin: member.origin };
}

function groupView(group: Group, members: readonly Member[]) {
  return {
    id: group.id,
    meta: {
      version: group.version,
      created: group.created_at.toISOString(),
      lastModified: group.updated_at.toISOString(),
    },
    displayName: group.display_name,
    description: group.description ?? undefined,
    zoneId: 'uaa',
    members: members.map(memberView),
    schemas: SCIM_SCHEMAS,
  };
}
