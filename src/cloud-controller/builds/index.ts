import { resource } from '../resource.ts';
import { clearCacheJob, clearCachesJob, deleteStagedOfApp } from './caches.ts';
import { buildOperations } from './operations.ts';

export const builds = resource({
  operations: buildOperations,
  jobs: {
    'buildpack_cache.delete': clearCacheJob,
    'buildpack_caches.delete': clearCachesJob,
  },
  contents: { app: deleteStagedOfApp },
});
