import { resource } from '../resource.ts';
import { deleteSecurityGroupJob } from './jobs.ts';
import { securityGroupOperations } from './operations.ts';

export const securityGroups = resource({
  operations: securityGroupOperations,
  jobs: {
    'security_group.delete': deleteSecurityGroupJob,
  },
});
