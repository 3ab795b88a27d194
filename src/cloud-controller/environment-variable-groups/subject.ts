import { inPath, placeless } from '../subject.ts';
import { GROUP_NAMES, type GroupName } from './store.ts';

/** By its name, which is all that it has for a guid: both are there before anybody sets them. */
export const environmentVariableGroup = inPath(
  placeless<GroupName>(
    'Environment variable group',
    async (_, name) => GROUP_NAMES.find((known) => known === name) ?? null,
  ),
  'name',
);
