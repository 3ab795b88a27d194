import { resource } from '../resource.ts';
import { deleteDropletsOfApp } from './contents.ts';
import { deleteDropletJob } from './jobs.ts';
import { dropletOperations } from './operations.ts';

export const droplets = resource({
  operations: dropletOperations,
  jobs: {
    'droplet.delete': deleteDropletJob,
    // The bytes are kept when the upload is answered; clients still follow a job.
    'droplet.upload': async () => undefined,
  },
  contents: { app: deleteDropletsOfApp },
});
