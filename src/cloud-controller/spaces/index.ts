import { resource } from '../resource.ts';
import { deleteSpaceJob, deleteSpacesOfOrganization } from './jobs.ts';
import { spaceOperations } from './operations.ts';

export const spaces = resource({
  operations: spaceOperations,
  jobs: {
    'space.delete': deleteSpaceJob,
  },
  contents: { organization: deleteSpacesOfOrganization },
});
