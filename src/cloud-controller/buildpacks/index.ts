import { resource } from '../resource.ts';
import { deleteBuildpackJob } from './jobs.ts';
import { buildpackOperations } from './operations.ts';

export const buildpacks = resource({
  operations: buildpackOperations,
  jobs: {
    'buildpack.delete': deleteBuildpackJob,
    // The bytes are kept when the upload is answered; clients still follow a job.
    'buildpack.upload': async () => undefined,
  },
});
