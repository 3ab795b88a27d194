import { resource } from '../resource.ts';
import { deleteDomainJob, deleteDomainsOfOrganization } from './jobs.ts';
import { domainOperations } from './operations.ts';

export const domains = resource({
  operations: domainOperations,
  jobs: {
    'domain.delete': deleteDomainJob,
  },
  contents: { organization: deleteDomainsOfOrganization },
});
