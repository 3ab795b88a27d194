import { type Static, Type } from 'typebox';
import { Link, type Links, Timestamp, timestamp } from '../view.ts';
import type { EnvironmentVariableGroup, GroupName } from './store.ts';

export const EnvironmentVariableGroupView = Type.Object(
  {
    name: Type.String(),
    updated_at: Type.Union([Timestamp, Type.Null()]),
    var: Type.Record(Type.String(), Type.String()),
    links: Type.Object({ self: Link }),
  },
  { title: 'EnvironmentVariableGroup' },
);

export function environmentVariableGroupView(
  links: Links,
  name: GroupName,
  group: EnvironmentVariableGroup,
): Static<typeof EnvironmentVariableGroupView> {
  return {
    name,
    updated_at: group.updatedAt && timestamp(group.updatedAt),
    var: { ...group.variables },
    links: { self: links.to(`/v3/environment_variable_groups/${name}`) },
  };
}
