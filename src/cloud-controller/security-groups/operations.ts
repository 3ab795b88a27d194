import { sql } from 'kysely';
import { Type } from 'typebox';
import { messageOf } from '../../kit/errors.ts';
import { recordEvent } from '../audit-events/store.ts';
import type { Visible } from '../authorization.ts';
import { visibleSpaces } from '../authorization.ts';
import type { Context } from '../context.ts';
import type { Db } from '../database.ts';
import { notFound, unprocessable } from '../errors.ts';
import type { Job } from '../jobs/store.ts';
import { listView } from '../list.ts';
import { type Answer, type Call, created, noContent, ok, operation } from '../operation.ts';
import { GLOBAL_ROLES, type OperationId, SPACE_ROLES } from '../permissions.ts';
import { guidsOf, ToMany, toManyView } from '../relationships.ts';
import { authorizedSpace } from '../spaces/operations.ts';
import { findSpace, placeOf } from '../spaces/store.ts';
import { identityView, type Links, toMany } from '../view.ts';
import { checkRules, RuleInput } from './rules.ts';
import {
  bindSecurityGroup,
  findSecurityGroup,
  insertSecurityGroup,
  listSecurityGroups,
  listSecurityGroupsOfSpace,
  type Phase,
  type SecurityGroup,
  securityGroupQuery,
  unbindSecurityGroup,
  updateSecurityGroup,
} from './store.ts';

const strict = { additionalProperties: false };
const Name = Type.String({ minLength: 1, maxLength: 250 });
const Rules = Type.Array(RuleInput, { maxItems: 1000 });
const GloballyEnabled = Type.Object(
  { running: Type.Optional(Type.Boolean()), staging: Type.Optional(Type.Boolean()) },
  strict,
);
const CreateSecurityGroup = Type.Object(
  {
    name: Name,
    rules: Type.Optional(Rules),
    globally_enabled: Type.Optional(GloballyEnabled),
    relationships: Type.Optional(
      Type.Object({ running_spaces: Type.Optional(ToMany), staging_spaces: Type.Optional(ToMany) }, strict),
    ),
  },
  strict,
);
const UpdateSecurityGroup = Type.Object(
  { name: Type.Optional(Name), rules: Type.Optional(Rules), globally_enabled: Type.Optional(GloballyEnabled) },
  strict,
);

const EVERYTHING: Visible = { everything: true };

export const securityGroupOperations = [
  operation({
    id: 'GET /v3/security_groups',
    query: securityGroupQuery,
    async run(call) {
      const { db, links } = call.context;
      const found = await listSecurityGroups(db, call.query, call.visibleSpaces());
      const visible = await spaceFilter(db, call, found.rows);
      return ok(listView(links, '/v3/security_groups', call.query, found, (row) => groupView(links, row, visible)));
    },
  }),

  operation({
    id: 'POST /v3/security_groups',
    body: CreateSecurityGroup,
    bodyLimitBytes: 4 * 1_048_576,
    async run(call) {
      const { db, links } = call.context;
      const { name, rules = [], globally_enabled: everywhere = {}, relationships = {} } = call.body;
      checkRules(rules);
      const running = guidsOf(relationships.running_spaces ?? { data: [] });
      const staging = guidsOf(relationships.staging_spaces ?? { data: [] });
      const guid = await db.transaction().execute(async (trx) => {
        const { running: runningDefault = false, staging: stagingDefault = false } = everywhere;
        const made = await insertSecurityGroup(trx, { name, rules, running: runningDefault, staging: stagingDefault });
        await checkSpacesExist(trx, [...running, ...staging]);
        await bindSecurityGroup(trx, made, 'running', running);
        await bindSecurityGroup(trx, made, 'staging', staging);
        await recordEvent(trx, event(call.actor, 'create', { guid: made, name }, call.body));
        return made;
      });
      await announce(call.context);
      return created(groupView(links, await existing(db, guid, EVERYTHING), () => true));
    },
  }),

  operation({
    id: 'GET /v3/security_groups/:guid',
    async run(call) {
      const { db, links } = call.context;
      const group = await existing(db, call.params.guid, call.visibleSpaces());
      return ok(groupView(links, group, await spaceFilter(db, call, [group])));
    },
  }),

  operation({
    id: 'PATCH /v3/security_groups/:guid',
    body: UpdateSecurityGroup,
    bodyLimitBytes: 4 * 1_048_576,
    async run(call) {
      const { db, links } = call.context;
      const group = await existing(db, call.params.guid, EVERYTHING);
      const { name, rules, globally_enabled: everywhere } = call.body;
      if (rules) checkRules(rules);
      await db.transaction().execute(async (trx) => {
        await updateSecurityGroup(trx, group, {
          name,
          rules,
          running: everywhere?.running,
          staging: everywhere?.staging,
        });
        await recordEvent(trx, event(call.actor, 'update', group, call.body));
      });
      await announce(call.context);
      return ok(groupView(links, await existing(db, group.guid, EVERYTHING), () => true));
    },
  }),

  operation({
    id: 'DELETE /v3/security_groups/:guid',
    async run(call) {
      const group = await existing(call.context.db, call.params.guid, EVERYTHING);
      const resource = { type: 'security_group', guid: group.guid };
      return call.accepted(
        await call.context.jobs.enqueue({ operation: 'security_group.delete', actor: call.actor, resource }),
      );
    },
  }),

  operation({
    id: 'POST /v3/security_groups/:guid/relationships/running_spaces',
    body: ToMany,
    run: (call) => bind(call, call.params.guid, 'running', guidsOf(call.body)),
  }),
  operation({
    id: 'POST /v3/security_groups/:guid/relationships/staging_spaces',
    body: ToMany,
    run: (call) => bind(call, call.params.guid, 'staging', guidsOf(call.body)),
  }),
  operation({
    id: 'DELETE /v3/security_groups/:guid/relationships/running_spaces/:space_guid',
    run: (call) => unbind(call, call.params.guid, 'running', call.params.space_guid),
  }),
  operation({
    id: 'DELETE /v3/security_groups/:guid/relationships/staging_spaces/:space_guid',
    run: (call) => unbind(call, call.params.guid, 'staging', call.params.space_guid),
  }),

  operation({
    id: 'GET /v3/spaces/:guid/running_security_groups',
    query: { list: true, filters: ['names'] },
    run: (call) => listOfSpace(call, call.params.guid, 'running'),
  }),
  operation({
    id: 'GET /v3/spaces/:guid/staging_security_groups',
    query: { list: true, filters: ['names'] },
    run: (call) => listOfSpace(call, call.params.guid, 'staging'),
  }),
];

/** Job "security_group.delete". */
export async function deleteSecurityGroupJob(context: Context, job: Job): Promise<undefined> {
  const group = await findSecurityGroup(context.db, job.resourceGuid ?? '', EVERYTHING);
  if (!group) return;
  await context.db.transaction().execute(async (trx) => {
    await trx.deleteFrom('security_groups').where('guid', '=', group.guid).execute();
    await recordEvent(trx, event(job.actor, 'delete', group, {}));
  });
  await announce(context);
}

async function listOfSpace(call: Call<OperationId, unknown>, spaceGuid: string, phase: Phase): Promise<Answer> {
  const { db, links } = call.context;
  const space = await authorizedSpace(call, spaceGuid);
  const found = await listSecurityGroupsOfSpace(db, call.query, space.guid, phase);
  const path = `/v3/spaces/${space.guid}/${phase}_security_groups`;
  return ok(listView(links, path, call.query, found, (row) => groupView(links, row, (guid) => guid === space.guid)));
}

/** The caller must see the group and manage each of the spaces. */
async function bind(
  call: Call<OperationId, unknown>,
  guid: string,
  phase: Phase,
  spaceGuids: readonly string[],
): Promise<Answer> {
  const { db, links } = call.context;
  const group = await existing(db, guid, seenSpaces(call));
  const invisible = unprocessable(
    `Spaces with guids ["${spaceGuids.join('", "')}"] do not exist, or you do not have access to them.`,
  );
  if (spaceGuids.length === 0) call.passSharedResource();
  for (const spaceGuid of spaceGuids) {
    const space = await findSpace(db, spaceGuid);
    if (!space) throw invisible;
    await call.authorize(placeOf(space), invisible);
  }
  await db.transaction().execute(async (trx) => {
    await bindSecurityGroup(trx, group.guid, phase, spaceGuids);
    await recordEvent(trx, event(call.actor, `apply_${phase}`, group, { space_guids: spaceGuids }));
  });
  await announce(call.context);
  const after = await existing(db, group.guid, EVERYTHING);
  const visible = await spaceFilter(db, call, [after]);
  const path = `/v3/security_groups/${group.guid}/relationships/${phase}_spaces`;
  return ok(toManyView(links, path, after[`${phase}_space_guids`].filter(visible)));
}

async function unbind(
  call: Call<OperationId, unknown>,
  guid: string,
  phase: Phase,
  spaceGuid: string,
): Promise<Answer> {
  const { db } = call.context;
  const group = await existing(db, guid, seenSpaces(call));
  const notBound = unprocessable(
    `Unable to unbind security group from space with guid '${spaceGuid}'. Ensure the space is bound to this security group.`,
  );
  const space = await findSpace(db, spaceGuid);
  if (!space) throw notBound;
  await call.authorize(placeOf(space), notBound);
  await db.transaction().execute(async (trx) => {
    if (!(await unbindSecurityGroup(trx, group.guid, phase, space.guid))) throw notBound;
    await recordEvent(trx, event(call.actor, `unapply_${phase}`, group, { space_guid: space.guid }));
  });
  await announce(call.context);
  return noContent();
}

async function existing(db: Db, guid: string, visible: Visible): Promise<SecurityGroup> {
  const group = await findSecurityGroup(db, guid, visible);
  if (!group) throw notFound('Security group');
  return group;
}

function seenSpaces(call: Call<OperationId, unknown>): Visible {
  return visibleSpaces(call.caller, [...GLOBAL_ROLES, 'organization_manager', ...SPACE_ROLES]);
}

/** Tells which spaces of these groups the caller may know of. */
async function spaceFilter(
  db: Db,
  call: Call<OperationId, unknown>,
  groups: readonly SecurityGroup[],
): Promise<(guid: string) => boolean> {
  const visible = seenSpaces(call);
  if (visible.everything) return () => true;
  const guids = groups.flatMap((group) => [...group.running_space_guids, ...group.staging_space_guids]);
  const rows = await db
    .selectFrom('spaces')
    .select('guid')
    .where(sql<boolean>`guid = ANY(${guids}) AND guid IN ${visible.guids}`)
    .execute();
  const seen = new Set(rows.map((row) => row.guid));
  return (guid) => seen.has(guid);
}

async function checkSpacesExist(db: Db, guids: readonly string[]): Promise<void> {
  if (guids.length === 0) return;
  const rows = await db.selectFrom('spaces').select('guid').where('guid', 'in', guids).execute();
  const missing = guids.filter((guid) => !rows.some((row) => row.guid === guid));
  if (missing.length > 0) throw unprocessable(`Spaces with guids ["${missing.join('", "')}"] do not exist.`);
}

/** Running containers get new rules without a restart; a failure is mended by reconciliation. */
async function announce(context: Context): Promise<void> {
  try {
    await context.hooks.securityGroupsChanged();
  } catch (error) {
    context.log.warn('security groups could not be announced now', { error: messageOf(error) });
  }
}

function groupView(links: Links, group: SecurityGroup, visible: (spaceGuid: string) => boolean) {
  return {
    ...identityView(group),
    name: group.name,
    rules: group.rules,
    globally_enabled: { running: group.running_default, staging: group.staging_default },
    relationships: {
      running_spaces: toMany(group.running_space_guids.filter(visible)),
      staging_spaces: toMany(group.staging_space_guids.filter(visible)),
    },
    links: { self: links.to(`/v3/security_groups/${group.guid}`) },
  };
}

function event(actor: Job['actor'], verb: string, group: { guid: string; name: string }, request: object) {
  return {
    type: `audit.security_group.${verb}`,
    actor,
    target: { guid: group.guid, type: 'security_group', name: group.name },
    organizationGuid: null,
    data: { request: { ...request } },
  };
}
