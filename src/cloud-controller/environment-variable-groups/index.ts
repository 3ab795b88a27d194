import { resource } from '../resource.ts';
import { environmentVariableGroupOperations } from './operations.ts';

export const environmentVariableGroups = resource({
  operations: environmentVariableGroupOperations,
});
