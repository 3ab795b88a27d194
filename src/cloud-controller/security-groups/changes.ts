import type { Static } from 'typebox';
import { recordEvent } from '../audit-events/store.ts';
import type { Actor } from '../authorization.ts';
import type { Context } from '../context.ts';
import { unprocessable } from '../errors.ts';
import type { Guid } from '../guid.ts';
import { guidsOf } from '../relationships.ts';
import { securityGroupEvent } from './events.ts';
import { checkRules } from './rules.ts';
import type { CreateSecurityGroup, UpdateSecurityGroup } from './schema.ts';
import {
  bindSecurityGroup,
  insertSecurityGroup,
  missingSpaces,
  type Phase,
  readSecurityGroup,
  type SecurityGroup,
  unbindSecurityGroup,
  updateSecurityGroup,
} from './store.ts';

/** Throws UnprocessableEntity for rules that mean nothing, a name that is taken and spaces that are not there. */
export async function createSecurityGroup(
  { db, changed }: Context,
  actor: Actor,
  body: Static<typeof CreateSecurityGroup>,
): Promise<SecurityGroup> {
  const { name, rules = [], globally_enabled: everywhere = {}, relationships = {} } = body;
  checkRules(rules);
  const running = guidsOf(relationships.running_spaces ?? { data: [] });
  const staging = guidsOf(relationships.staging_spaces ?? { data: [] });
  const made = await db.transaction().execute(async (trx) => {
    const guid = await insertSecurityGroup(trx, { name, rules, ...everywhere });
    const missing = await missingSpaces(trx, [...running, ...staging]);
    if (missing.length > 0) throw unprocessable(`Spaces with guids ["${missing.join('", "')}"] do not exist.`);
    await bindSecurityGroup(trx, guid, 'running', running);
    await bindSecurityGroup(trx, guid, 'staging', staging);
    await recordEvent(trx, securityGroupEvent('audit.security_group.create', actor, { guid, name }, { request: body }));
    return readSecurityGroup(trx, guid);
  });
  changed(made.running_default ? 'all' : running);
  return made;
}

/** Throws UnprocessableEntity for rules that mean nothing and a name that is taken. */
export async function changeSecurityGroup(
  { db, changed }: Context,
  actor: Actor,
  group: SecurityGroup,
  body: Static<typeof UpdateSecurityGroup>,
): Promise<SecurityGroup> {
  const { name, rules, globally_enabled: everywhere = {} } = body;
  if (rules) checkRules(rules);
  const after = await db.transaction().execute(async (trx) => {
    await updateSecurityGroup(trx, group.guid, { name, rules, ...everywhere });
    await recordEvent(trx, securityGroupEvent('audit.security_group.update', actor, group, { request: body }));
    return readSecurityGroup(trx, group.guid);
  });
  changed('all');
  return after;
}

/** Gives the group with the spaces it is bound to by then. */
export async function bind(
  { db, changed }: Context,
  actor: Actor,
  group: SecurityGroup,
  phase: Phase,
  spaceGuids: readonly Guid<'space'>[],
): Promise<SecurityGroup> {
  const after = await db.transaction().execute(async (trx) => {
    const bound = await bindSecurityGroup(trx, group.guid, phase, spaceGuids);
    if (bound.length > 0) {
      await recordEvent(
        trx,
        securityGroupEvent(`audit.security_group.apply_${phase}`, actor, group, { request: { space_guids: bound } }),
      );
    }
    return readSecurityGroup(trx, group.guid);
  });
  changed(spaceGuids);
  return after;
}

/** Throws UnprocessableEntity where it is not bound. */
export async function unbind(
  { db, changed }: Context,
  actor: Actor,
  group: SecurityGroup,
  phase: Phase,
  spaceGuid: Guid<'space'>,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    if (!(await unbindSecurityGroup(trx, group.guid, phase, spaceGuid))) throw notBound(spaceGuid);
    await recordEvent(
      trx,
      securityGroupEvent(`audit.security_group.unapply_${phase}`, actor, group, { request: { space_guid: spaceGuid } }),
    );
  });
  changed([spaceGuid]);
}

export function notBound(spaceGuid: string) {
  return unprocessable(
    `Unable to unbind security group from space with guid '${spaceGuid}'. Ensure the space is bound to this security group.`,
  );
}
