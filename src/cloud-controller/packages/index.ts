import { resource } from '../resource.ts';
import { deletePackagesOfApp } from './contents.ts';
import { deletePackageJob } from './jobs.ts';
import { packageOperations } from './operations.ts';

export const packages = resource({
  operations: packageOperations,
  jobs: {
    'package.delete': deletePackageJob,
  },
  contents: { app: deletePackagesOfApp },
});
