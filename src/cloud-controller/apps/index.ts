import { resource } from '../resource.ts';
import { deleteAppJob, deleteAppsOfSpace } from './jobs.ts';
import { appOperations } from './operations.ts';

export const apps = resource({
  operations: appOperations,
  jobs: {
    'app.delete': deleteAppJob,
  },
  contents: { space: deleteAppsOfSpace },
});
