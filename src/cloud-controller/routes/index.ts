import { resource } from '../resource.ts';
import { deleteRouteJob, deleteRoutesOfSpace, deleteUnmappedRoutesJob, unmapApp } from './jobs.ts';
import { deleteRoutesOnDomain } from './on-domain.ts';
import { routeOperations } from './operations.ts';

export const routes = resource({
  operations: routeOperations,
  jobs: {
    'route.delete': deleteRouteJob,
    'space.delete_unmapped_routes': deleteUnmappedRoutesJob,
  },
  contents: { space: deleteRoutesOfSpace, app: unmapApp, domain: deleteRoutesOnDomain },
});
