import { resource } from '../resource.ts';
import { deleteOrganization } from './jobs.ts';
import { organizationOperations } from './operations.ts';

export const organizations = resource({
  operations: organizationOperations,
  jobs: {
    'organization.delete': deleteOrganization,
  },
});
