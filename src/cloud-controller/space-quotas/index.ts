import { resource } from '../resource.ts';
import { deleteSpaceQuotaJob } from './jobs.ts';
import { spaceQuotaOperations } from './operations.ts';

export const spaceQuotas = resource({
  operations: spaceQuotaOperations,
  jobs: {
    'space_quota.delete': deleteSpaceQuotaJob,
  },
});
