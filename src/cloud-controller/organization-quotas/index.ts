import { resource } from '../resource.ts';
import { deleteOrganizationQuotaJob } from './jobs.ts';
import { organizationQuotaOperations } from './operations.ts';

export const organizationQuotas = resource({
  operations: organizationQuotaOperations,
  jobs: {
    'organization_quota.delete': deleteOrganizationQuotaJob,
  },
});
