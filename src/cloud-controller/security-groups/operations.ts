import { unprocessable } from '../errors.ts';
import { created, type Definition, noContent, ok, operation, type Unread } from '../operation.ts';
import type { OperationId } from '../permissions.ts';
import { RelationshipToMany, ToMany, toManyView } from '../relationships.ts';
import { space } from '../spaces/subject.ts';
import { spaceFilter } from '../spaces/visibility.ts';
import { deletes, lists, shown, shows } from '../standard.ts';
import { eachInBody, inPath } from '../subject.ts';
import { bind, changeSecurityGroup, createSecurityGroup, notBound, unbind } from './changes.ts';
import { BODY_LIMIT_BYTES, CreateSecurityGroup, UpdateSecurityGroup } from './schema.ts';
import { holdsIn, type Phase } from './store.ts';
import { boundSpace, securityGroup, securityGroups, securityGroupsOfSpace } from './subject.ts';
import { SecurityGroupView, securityGroupView } from './view.ts';

const noSpaces = (...guids: string[]) =>
  unprocessable(`Spaces with guids ["${guids.join('", "')}"] do not exist, or you do not have access to them.`);

const ToSpaces = ToMany<'space'>();
const toBind = { group: securityGroup, spaces: eachInBody('', boundSpace, noSpaces) };
const bound = { group: securityGroup, space: inPath(space, 'space_guid', notBound) };

export const securityGroupOperations = [
  operation('GET /v3/security_groups', lists(securityGroups)),

  operation('POST /v3/security_groups', {
    body: CreateSecurityGroup,
    bodyLimitBytes: BODY_LIMIT_BYTES,
    answers: { 201: SecurityGroupView },
    async run(call) {
      const made = await createSecurityGroup(call.context, call.actor, call.body);
      return created(await shown(call, securityGroups, made));
    },
  }),

  operation('GET /v3/security_groups/:guid', shows(securityGroup, securityGroups)),

  operation('PATCH /v3/security_groups/:guid', {
    on: securityGroup,
    body: UpdateSecurityGroup,
    bodyLimitBytes: BODY_LIMIT_BYTES,
    answers: { 200: SecurityGroupView },
    async run(call) {
      const changed = await changeSecurityGroup(call.context, call.actor, call.subject, call.body);
      return ok(await shown(call, securityGroups, changed));
    },
  }),

  operation('DELETE /v3/security_groups/:guid', deletes(securityGroup, 'security_group')),

  operation('POST /v3/security_groups/:guid/relationships/running_spaces', binds('running')),
  operation('POST /v3/security_groups/:guid/relationships/staging_spaces', binds('staging')),
  operation('DELETE /v3/security_groups/:guid/relationships/running_spaces/:space_guid', unbinds('running')),
  operation('DELETE /v3/security_groups/:guid/relationships/staging_spaces/:space_guid', unbinds('staging')),

  operation('GET /v3/spaces/:guid/running_security_groups', listsThoseOfSpace('running')),
  operation('GET /v3/spaces/:guid/staging_security_groups', listsThoseOfSpace('staging')),
];

/** By whoever sees the group and manages each of the spaces. */
function binds(
  phase: Phase,
): Definition<OperationId, typeof toBind, typeof ToSpaces, { 200: typeof RelationshipToMany }> {
  return {
    on: toBind,
    mayNameNothing: true, // an empty list binds nothing
    body: ToSpaces,
    answers: { 200: RelationshipToMany },
    async run({ actor, caller, context, path, subject }) {
      const spaces = subject.spaces.map((one) => one.guid);
      const after = await bind(context, actor, subject.group, phase, spaces);
      const guids = after[`${phase}_space_guids`];
      const visible = await spaceFilter(context.db, caller, guids);
      return ok(toManyView(context.links, path, guids.filter(visible)));
    },
  };
}

function unbinds(phase: Phase): Definition<OperationId, typeof bound, Unread, { 204: null }> {
  return {
    on: bound,
    answers: { 204: null },
    async run({ actor, context, subject }) {
      await unbind(context, actor, subject.group, phase, subject.space.guid);
      return noContent();
    },
  };
}

/** What holds there, and of the spaces it is bound to this one alone. */
function listsThoseOfSpace(phase: Phase) {
  return lists(securityGroupsOfSpace, {
    on: space,
    inside: ({ guid }) => holdsIn(guid, phase),
    views: ({ guid }, { context }, rows) =>
      rows.map((row) => securityGroupView(context.links, row, (one) => one === guid)),
  });
}
