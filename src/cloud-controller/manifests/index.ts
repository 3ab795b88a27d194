import { resource } from '../resource.ts';
import { applyManifestJob } from './apply.ts';
import { manifestOperations } from './operations.ts';

export const manifests = resource({
  operations: manifestOperations,
  jobs: {
    'space.apply_manifest': applyManifestJob,
  },
});
