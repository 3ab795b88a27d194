import { type Static, Type } from 'typebox';
import type { Guid } from '../guid.ts';
import { IDENTITY, identityView, Link, type Links, ToManyView, toMany } from '../view.ts';
import { RuleInput } from './rules.ts';
import type { SecurityGroup } from './store.ts';

export const SecurityGroupView = Type.Object(
  {
    ...IDENTITY,
    name: Type.String(),
    rules: Type.Array(RuleInput),
    globally_enabled: Type.Object({ running: Type.Boolean(), staging: Type.Boolean() }),
    relationships: Type.Object({ running_spaces: ToManyView, staging_spaces: ToManyView }),
    links: Type.Object({ self: Link }),
  },
  { title: 'SecurityGroup' },
);

/** `visible` says which of the spaces it is bound to are shown. */
export function securityGroupView(
  links: Links,
  group: SecurityGroup,
  visible: (spaceGuid: Guid<'space'>) => boolean,
): Static<typeof SecurityGroupView> {
  return {
    ...identityView(group),
    name: group.name,
    rules: [...group.rules],
    globally_enabled: { running: group.running_default, staging: group.staging_default },
    relationships: {
      running_spaces: toMany(group.running_space_guids.filter(visible)),
      staging_spaces: toMany(group.staging_space_guids.filter(visible)),
    },
    links: { self: links.to(`/v3/security_groups/${group.guid}`) },
  };
}
