import { resource } from '../resource.ts';
import { deploymentOperations } from './operations.ts';

export const deployments = resource({
  operations: deploymentOperations,
});
